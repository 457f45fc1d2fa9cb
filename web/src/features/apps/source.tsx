import { type DragEvent, useState } from "react";
import type { Source } from "@/api/types";
import { Button } from "@/components/button";
import { Choices, TextField } from "@/components/field";
import { Icon } from "@/components/icon";
import { bytes } from "@/lib/bytes";

export interface SourceForm {
  type: Source["type"];
  file: File | undefined;
  /** Id of an archive that was uploaded before; a file takes its place. */
  archive: string | undefined;
  url: string;
  ref: string;
  submodules: boolean;
  lfs: boolean;
  reference: string;
}

export const emptySource: SourceForm = {
  type: "archive",
  file: undefined,
  archive: undefined,
  url: "",
  ref: "main",
  submodules: false,
  lfs: false,
  reference: "",
};

type Problems = Partial<Record<"file" | "url" | "ref" | "reference", string>>;

export function sourceProblems(source: SourceForm): Problems {
  if (source.type === "archive") {
    if (!source.file) return source.archive ? {} : { file: "Choose an archive." };
    return /\.(tgz|tar\.gz)$/i.test(source.file.name)
      ? {}
      : { file: "A gzipped tar is needed: .tar.gz or .tgz." };
  }
  if (source.type === "image") return source.reference.trim() ? {} : { reference: "Name the image." };
  const problems: Problems = {};
  if (!/^((https?|ssh|git):\/\/|[\w.-]+@[\w.-]+:)\S+$/.test(source.url.trim()))
    problems.url = "An address such as https://example.com/app.git.";
  if (!source.ref.trim()) problems.ref = "A branch, tag or commit.";
  return problems;
}

/** The form that stands for `source`. */
export function sourceFormOf(source: Source): SourceForm {
  if (source.type === "archive") return { ...emptySource, archive: source.archive_id };
  return { ...emptySource, ...source };
}

/** What the API is told; nothing for a file, which must be uploaded first. */
export function sourceOf(source: SourceForm): Source | undefined {
  if (source.type === "git") {
    const { url, ref, submodules, lfs } = source;
    const also = { ...(submodules && { submodules }), ...(lfs && { lfs }) };
    return { type: "git", url: url.trim(), ref: ref.trim(), ...also };
  }
  if (source.type === "image") return { type: "image", reference: source.reference.trim() };
  return source.archive && !source.file ? { type: "archive", archive_id: source.archive } : undefined;
}

interface Props {
  source: SourceForm;
  onChange: (source: SourceForm) => void;
  problems: Problems;
  progress: number | undefined;
}

export function SourceFields({ source, onChange, problems, progress }: Props) {
  return (
    <div className="stack source">
      <Choices
        legend="Source"
        value={source.type}
        onChange={(type) => onChange({ ...source, type })}
        options={[
          { value: "archive", title: "Archive", text: "Upload a .tar.gz", icon: <Icon name="archive" /> },
          { value: "git", title: "Git", text: "Clone a repository", icon: <Icon name="branch" /> },
          { value: "image", title: "Image", text: "Pull from a registry", icon: <Icon name="box" /> },
        ]}
      />
      {source.type === "archive" && (
        <ArchiveField
          file={source.file}
          archive={source.archive}
          onChange={(file) => onChange({ ...source, file })}
          error={problems.file}
          progress={progress}
        />
      )}
      {source.type === "git" && (
        <>
          <div className="fields repository">
            <TextField
              label="Repository"
              mono
              placeholder="https://git.example.com/team/app.git"
              spellCheck={false}
              value={source.url}
              onChange={(url) => onChange({ ...source, url })}
              error={problems.url}
            />
            <TextField
              label="Branch, tag or commit"
              mono
              spellCheck={false}
              value={source.ref}
              onChange={(ref) => onChange({ ...source, ref })}
              error={problems.ref}
            />
          </div>
          <label className="checkbox">
            <input
              type="checkbox"
              checked={source.submodules}
              onChange={(event) => onChange({ ...source, submodules: event.target.checked })}
            />
            <span>With submodules</span>
          </label>
          <label className="checkbox">
            <input
              type="checkbox"
              checked={source.lfs}
              onChange={(event) => onChange({ ...source, lfs: event.target.checked })}
            />
            <span>With large files (LFS)</span>
          </label>
        </>
      )}
      {source.type === "image" && (
        <TextField
          label="Image"
          mono
          placeholder="registry.example.com/team/app:1.4"
          spellCheck={false}
          help="Nothing is built. With a digest (@sha256:…) it is always the same image."
          value={source.reference}
          onChange={(reference) => onChange({ ...source, reference })}
          error={problems.reference}
        />
      )}
    </div>
  );
}

interface ArchiveProps {
  file: File | undefined;
  archive: string | undefined;
  onChange: (file: File | undefined) => void;
  error: string | undefined;
  progress: number | undefined;
}

function ArchiveField({ file, archive, onChange, error, progress }: ArchiveProps) {
  const [over, setOver] = useState(false);
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    onChange(event.dataTransfer.files[0]);
  };
  return (
    <div className="field">
      {file ? (
        <div className="file-chosen">
          <Icon name="archive" size={18} />
          <div style={{ flex: 1, minWidth: 0 }} className="stack tight">
            <span className="truncate">{file.name}</span>
            {progress === undefined ? (
              <span className="small faint">{bytes(file.size)}</span>
            ) : (
              <div
                className="progress"
                role="progressbar"
                aria-label="Upload"
                aria-valuenow={Math.round(progress * 100)}
              >
                <div style={{ width: `${progress * 100}%` }} />
              </div>
            )}
          </div>
          <Button
            small
            kind="ghost"
            icon="close"
            aria-label="Remove file"
            onClick={() => onChange(undefined)}
          />
        </div>
      ) : (
        <label
          className={over ? "dropzone over" : "dropzone"}
          onDragOver={(event) => {
            event.preventDefault();
            setOver(true);
          }}
          onDragLeave={() => setOver(false)}
          onDrop={drop}
        >
          <Icon name="upload" size={20} />
          {archive && (
            <span>
              The archive of before, <code>{archive.slice(-8)}</code>, once more.
            </span>
          )}
          <span>
            {archive ? "For another one, drop" : "Drop"} a <code>.tar.gz</code> here or{" "}
            <span className="link">choose a file</span>
          </span>
          <span className="field-help">
            For example <code>git archive --format=tar.gz -o app.tar.gz HEAD</code>
          </span>
          <input
            type="file"
            className="visually-hidden"
            accept=".gz,.tgz,application/gzip"
            onChange={(event) => onChange(event.target.files?.[0])}
          />
        </label>
      )}
      {error && (
        <p className="field-error" role="alert">
          <Icon name="close" size={12} />
          {error}
        </p>
      )}
    </div>
  );
}

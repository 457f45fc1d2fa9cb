import { useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useEffect, useMemo, useRef, useState } from "react";
import { useLocation } from "react-router";
import { parseAnsi, stripAnsi } from "@/lib/ansi";
import { cut, search } from "@/lib/logsearch";
import { clock, exact } from "@/lib/time";
import { Button } from "./button";
import { useCopy } from "./copy";
import { SearchField } from "./field";
import { Icon } from "./icon";

export interface LogEntry {
  id: string;
  at: string;
  stream: "stdout" | "stderr" | "system";
  text: string;
  /** Short name of the instance, with the number of its colour. */
  label?: { text: string; series: number };
}

interface Props {
  entries: LogEntry[];
  name: string;
  empty: string;
  /** Lines still come: follow them. */
  live: boolean;
  controls?: ReactNode;
}

const LINE_HEIGHT = 20;
const NEAR_END = 40;

export function Log({ entries, name, empty, live, controls }: Props) {
  const [query, setQuery] = useState("");
  const [wrap, setWrap] = useState(true);
  const [times, setTimes] = useState(() => !globalThis.matchMedia?.("(max-width: 800px)").matches);
  const found = useMemo(() => search(query), [query]);
  const shown = useMemo(
    () =>
      entries.flatMap((entry, index) => (found.matches(entry.text) ? [{ entry, number: index + 1 }] : [])),
    [entries, found],
  );
  const scroll = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: shown.length,
    getScrollElement: () => scroll.current,
    estimateSize: () => LINE_HEIGHT,
    getItemKey: (index) => shown[index]?.entry.id ?? index,
    overscan: 20,
    initialRect: { width: 800, height: 480 },
  });
  const target = useTarget(shown.map(({ entry }) => entry.id));
  const { following, setFollowing, unseen, onScroll } = useFollow(scroll, shown.length, target === undefined);

  // biome-ignore lint/correctness/useExhaustiveDependencies: wrapping and times change every height
  useEffect(() => virtual.measure(), [wrap, times, virtual]);
  useEffect(() => {
    if (following && shown.length > 0) virtual.scrollToIndex(shown.length - 1, { align: "end" });
  }, [following, shown.length, virtual]);
  useEffect(() => {
    if (target !== undefined) virtual.scrollToIndex(target, { align: "center" });
  }, [target, virtual]);

  return (
    <div className={wrap ? "log wrap" : "log"}>
      <div className="log-bar">
        <SearchField value={query} onChange={setQuery} label="Filter, or /regex/" />
        <span className="log-count" role="status">
          {found.error ?? (query ? `${shown.length} of ${entries.length} lines` : `${entries.length} lines`)}
        </span>
        <span className="spacer" />
        {controls}
        <Button
          small
          kind="ghost"
          icon="wrap"
          aria-label="Wrap lines"
          title="Wrap lines"
          aria-pressed={wrap}
          onClick={() => setWrap(!wrap)}
        />
        <Button
          small
          kind="ghost"
          icon="clock"
          aria-label="Show times"
          title="Show times"
          aria-pressed={times}
          onClick={() => setTimes(!times)}
        />
        <CopyLog entries={shown.map(({ entry }) => entry)} />
        <Button
          small
          kind="ghost"
          icon="download"
          aria-label="Download"
          title="Download"
          onClick={() => download(name, entries)}
        />
      </div>
      <div
        className="log-scroll"
        ref={scroll}
        onScroll={onScroll}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolled region must be reachable by keyboard
        tabIndex={0}
        role="log"
        aria-live="off"
        aria-label={name}
      >
        <div className="log-lines" style={{ height: virtual.getTotalSize() }}>
          {virtual.getVirtualItems().map((item) => {
            const line = shown[item.index];
            return line ? (
              <div
                key={item.key}
                ref={virtual.measureElement}
                data-index={item.index}
                className={`log-line ${line.entry.stream}${item.index === target ? " target" : ""}`}
                style={{ transform: `translateY(${item.start}px)` }}
              >
                <Line entry={line.entry} number={line.number} times={times} pattern={found.pattern} />
              </div>
            ) : null;
          })}
        </div>
      </div>
      {shown.length === 0 && <p className="log-empty">{query ? "No line matches." : empty}</p>}
      {!following && (unseen > 0 || live) && shown.length > 0 && (
        <button type="button" className="log-pill" onClick={() => setFollowing(true)}>
          <Icon name="down" size={13} />
          {unseen > 0 ? `${unseen} new ${unseen === 1 ? "line" : "lines"}` : "Follow"}
        </button>
      )}
    </div>
  );
}

/** Follows the end until the user scrolls up; then counts what came since. */
function useFollow(scroll: React.RefObject<HTMLDivElement | null>, count: number, initially: boolean) {
  const [following, setFollowing] = useState(initially);
  const [seen, setSeen] = useState(0);
  const lastTop = useRef(0);
  useEffect(() => {
    if (following) setSeen(count);
  }, [following, count]);
  const onScroll = () => {
    const element = scroll.current;
    if (!element) return;
    const fromEnd = element.scrollHeight - element.scrollTop - element.clientHeight;
    if (fromEnd < NEAR_END) setFollowing(true);
    else if (element.scrollTop < lastTop.current - 2) setFollowing(false);
    lastTop.current = element.scrollTop;
  };
  return { following, setFollowing, unseen: Math.max(0, count - seen), onScroll };
}

/** Index of the line that the address names (`#line-…`). */
function useTarget(ids: string[]): number | undefined {
  const { hash } = useLocation();
  if (!hash.startsWith("#line-")) return undefined;
  const index = ids.indexOf(decodeURIComponent(hash.slice(6)));
  return index === -1 ? undefined : index;
}

function Line({
  entry,
  number,
  times,
  pattern,
}: {
  entry: LogEntry;
  number: number;
  times: boolean;
  pattern: RegExp | undefined;
}) {
  return (
    <>
      <a className="log-no" href={`#line-${encodeURIComponent(entry.id)}`} title="Link to this line">
        {number}
      </a>
      {times && (
        <time className="log-at" dateTime={entry.at} title={exact(entry.at)}>
          {clock(entry.at)}
        </time>
      )}
      {entry.label && (
        <span className={`log-label series-${entry.label.series % 5}`}>{entry.label.text}</span>
      )}
      <span className="log-text">
        {parseAnsi(entry.text).map((segment, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a line never changes
          <span key={index} className={segment.className || undefined}>
            <Found text={segment.text} pattern={pattern} />
          </span>
        ))}
      </span>
    </>
  );
}

const URL_PATTERN = /https?:\/\/[^\s"'<>)\]]+/g;

function Found({ text, pattern }: { text: string; pattern: RegExp | undefined }) {
  return cut(text, pattern ?? URL_PATTERN).map((piece, index) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: a line never changes
    <Piece key={index} text={piece} found={index % 2 === 1} link={pattern === undefined} />
  ));
}

function Piece({ text, found, link }: { text: string; found: boolean; link: boolean }) {
  if (!found) return text;
  if (!link) return <mark>{text}</mark>;
  return (
    <a href={text} target="_blank" rel="noreferrer">
      {text}
    </a>
  );
}

function CopyLog({ entries }: { entries: LogEntry[] }) {
  const { done, copy } = useCopy(entries.map((entry) => stripAnsi(entry.text)).join("\n"));
  return (
    <Button
      small
      kind="ghost"
      icon={done ? "check" : "copy"}
      aria-label="Copy without times"
      title="Copy without times"
      onClick={copy}
    />
  );
}

function download(name: string, entries: LogEntry[]) {
  const text = entries.map((entry) => `${entry.at} ${stripAnsi(entry.text)}\n`).join("");
  const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `${name.toLowerCase().replace(/[^a-z0-9]+/g, "-")}.log`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1_000);
}

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { keys } from "@/api/keys";
import { createApp, startDeployment, uploadArchive, useDeploymentStarted } from "@/api/mutations";
import type { SettingsPatch, Source } from "@/api/types";
import { type SourceForm, sourceOf } from "./source";

interface Request {
  slug: string;
  /** Slug of the project; the default one when absent. */
  project?: string | undefined;
  /** The app's own when absent. */
  settings?: SettingsPatch;
  source: SourceForm;
  message?: string | undefined;
  noCache?: boolean;
}

/**
 * Three requests as one deed: make the app, upload the archive, start the deployment. A second attempt after a
 * failure carries on behind what was done already.
 */
export function useCreation(exists: boolean) {
  const client = useQueryClient();
  const started = useDeploymentStarted();
  const made = useRef<string>(undefined);
  const uploaded = useRef<{ file: File; app: string; id: string }>(undefined);
  const [step, setStep] = useState<string>();
  const [progress, setProgress] = useState<number>();

  const archive = async (app: string, file: File): Promise<Source> => {
    if (uploaded.current?.file !== file || uploaded.current.app !== app) {
      setStep("Uploading…");
      const { id } = await uploadArchive(app, file, setProgress);
      uploaded.current = { file, app, id };
    }
    return { type: "archive", archive_id: uploaded.current.id };
  };

  const mutation = useMutation({
    async mutationFn({ slug, project, settings, source, message, noCache }: Request) {
      if (!exists && made.current !== slug) {
        setStep("Creating…");
        // An app is made without a way to build; its first deployment brings that.
        const { containerfile: _, ...first } = settings ?? {};
        await createApp({ slug, ...(project ? { project } : {}), ...first });
        made.current = slug;
      }
      const from =
        source.type === "archive" && source.file ? await archive(slug, source.file) : sourceOf(source);
      if (!from) throw new Error("The form was sent without a source.");
      setStep("Deploying…");
      return startDeployment(slug, { source: from, settings, message, no_cache: noCache });
    },
    onSuccess: started,
    onSettled: () => {
      setStep(undefined);
      setProgress(undefined);
      void client.invalidateQueries({ queryKey: keys.apps });
    },
  });
  return { ...mutation, run: mutation.mutateAsync, step, progress };
}

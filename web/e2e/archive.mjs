// Sources of apps, as people upload them.
import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** @param {string} work a folder for it @param {string} name @param {string} script @returns {Promise<string>} the source of an app that runs `script` */
export async function shellArchive(work, name, script) {
  const folder = join(work, `${name}-source`);
  await mkdir(folder);
  await writeFile(
    join(folder, "Containerfile"),
    `FROM docker.io/library/busybox:stable\nEXPOSE 8080\nCMD ${JSON.stringify(["sh", "-c", script])}\n`,
  );
  return archive(work, name, folder);
}

/** @param {string} work a folder for it @param {string} name @param {string} folder @returns {Promise<string>} a .tar.gz of the folder */
export async function archive(work, name, folder) {
  const file = join(work, `${name}.tar.gz`);
  await run("tar", ["-czf", file, "-C", folder, "."]);
  return file;
}

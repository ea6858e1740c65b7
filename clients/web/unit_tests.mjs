// Runs the unit tests of the pure modules: bundles tests/web/unit/*.test.ts and hands them to node's own test runner.

import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const tests = join(here, "..", "..", "tests", "web", "unit");
const out = await mkdtemp(join(tmpdir(), "biopose-web-tests-"));
try {
  const files = (await readdir(tests)).filter((name) => name.endsWith(".test.ts"));
  await build({
    entryPoints: files.map((name) => join(tests, name)),
    bundle: true,
    platform: "node",
    format: "esm",
    outdir: out,
    outExtension: { ".js": ".mjs" },
    alias: { viewer: join(here, "src") },
    logLevel: "warning",
  });
  const bundles = files.map((name) => join(out, name.replace(/\.ts$/, ".mjs")));
  process.exitCode = spawnSync(process.execPath, ["--test", ...bundles], { stdio: "inherit" }).status ?? 1;
} finally {
  await rm(out, { recursive: true, force: true });
}

// Builds the page: `node build.mjs [folder]`, into dist/ unless told otherwise. Names carry a hash of the content, so
// that a browser may keep what it has; nothing is fetched at run time.

import { createHash } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(here, "dist"));

await rm(out, { recursive: true, force: true });
await mkdir(join(out, "assets"), { recursive: true });

const hashed = (name, content) => {
  const dot = name.lastIndexOf(".");
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 10);
  return `assets/${name.slice(0, dot)}-${hash}${name.slice(dot)}`;
};

const bundled = await build({
  entryPoints: { app: join(here, "src", "main.ts"), page: join(here, "src", "page.css") },
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome100", "firefox115", "safari16"],
  legalComments: "eof",
  outdir: out,
  write: false,
  logLevel: "warning",
});

const names = { ICON: await put("icon.svg", await readFile(join(here, "src", "icon.svg"))) };
for (const file of bundled.outputFiles) {
  const script = file.path.endsWith(".js");
  names[script ? "SCRIPT" : "STYLE"] = await put(script ? "app.js" : "page.css", file.contents);
}
const licence = await readFile(join(here, "node_modules", "three", "LICENSE"));
await writeFile(join(out, "assets", "three-LICENSE.txt"), licence);

let page = await readFile(join(here, "src", "index.html"), "utf-8");
for (const [mark, name] of Object.entries(names)) page = page.replace(`"${mark}"`, `"/${name}"`);
await writeFile(join(out, "index.html"), page);

async function put(name, content) {
  const path = hashed(name, content);
  await writeFile(join(out, path), content);
  return path;
}

// The client for pages without a build: one ES module, core and fallback, and one file of types beside it.
// `node bundle.mjs FOLDER` writes client.js and client.d.ts there; those of the front door are in web/.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const { name, version, license } = JSON.parse(readFileSync(join(HERE, "package.json"), "utf8"));
const BANNER = `// ${name} ${version}, ${license}. Built from clients/js by bundle.mjs: change those, then run \`npm run bundle\` there.`;
// For `Symbol.dispose`, which the `lib` of few projects has.
const LIBRARY = '/// <reference lib="esnext.disposable" preserve="true" />';
const IMPORT = /^(?:import|export) [^;]*? from "(\.\/[\w-]+)\.js";\n/gm;
const EXPORTED = /^export (?:declare )?(type|interface|const|function|class) (\w+)/gm;

/** The declarations of a module and of those that it imports, each once, imported ones first. */
const collect = (folder, module, found = new Map()) => {
  if (found.has(module)) return found;
  const text = readFileSync(join(folder, `${module}.d.ts`), "utf8").replace(/^\/\/# source.*\n?/gm, "");
  found.set(module, null);
  for (const [, next] of text.matchAll(IMPORT)) collect(folder, next, found);
  found.delete(module); // behind those that it imports
  return found.set(module, text);
};

/** What `index` exports: by name, or everything of a module. */
const exported = (modules) => {
  const all = (module) => [...modules.get(module).matchAll(EXPORTED)].map(([, kind, name]) => ({ kind, name }));
  return [...modules.get("./index").matchAll(/^export (type )?(\*|\{[^}]*\}) from "(\.\/[\w-]+)\.js";/gm)].flatMap(
    ([, , names, module]) => all(module).filter(({ name }) => names === "*" || names.match(/\w+/g).includes(name)),
  );
};

const types = (folder) => {
  const modules = collect(folder, "./index");
  const names = exported(modules);
  const list = (values) =>
    names
      .filter(({ kind }) => /const|function|class/.test(kind) === values)
      .map(({ name }) => name)
      .sort()
      .join(", ");
  const body = [...modules.values()].map((text) =>
    text
      .replace(LIBRARY, "")
      .replace(IMPORT, "")
      .replace(/^export (type )?\{[^}]*\};\n/gm, "")
      .replace(/^export (?=declare |type |interface )/gm, "")
      .trim(),
  );
  return `${BANNER}\n${LIBRARY}\n\n${body.filter(Boolean).join("\n\n")}\n\nexport { ${list(true)} };\nexport type { ${list(false)} };\n`;
};

const target = resolve(process.argv[2] ?? ".");
await build({
  entryPoints: [join(HERE, "src/index.ts")],
  outfile: join(target, "client.js"),
  banner: { js: BANNER },
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  logLevel: "error",
});
const folder = mkdtempSync(join(tmpdir(), "openline-types-"));
try {
  const tsc = join(HERE, "node_modules/typescript/bin/tsc");
  const flags = ["-p", join(HERE, "tsconfig.build.json"), "--outDir", folder, "--emitDeclarationOnly", "--declarationMap", "false", "--sourceMap", "false"];
  execFileSync(process.execPath, [tsc, ...flags], { stdio: "inherit" });
  writeFileSync(join(target, "client.d.ts"), types(folder));
} finally {
  rmSync(folder, { recursive: true });
}

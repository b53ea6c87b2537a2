// What a page loads, in bytes: minified and compressed by `gzip -9`. Fails when something is above its budget.
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const CORE = { entry: "src/index.ts", external: ["./fallback.js"] };
const BUDGETS = [
  { name: "core", budget: 8_775, ...CORE },
  { name: "/client.js", budget: 9_875, entry: "src/index.ts" },
  { name: "fallback", budget: 1_300, entry: "src/fallback.ts" },
  { name: "react", budget: 1_800, entry: "src/react.ts" },
  { name: "msgpack", budget: 1_700, entry: "src/msgpack.ts" },
];

const measure = async ({ name, budget, entry, external = [] }) => {
  const { outputFiles } = await build({
    entryPoints: [entry],
    external: ["react", ...external],
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: "es2022",
    logLevel: "error",
  });
  const [{ contents }] = outputFiles;
  const gzip = gzipSync(contents, { level: 9 }).length;
  return { name, minified: contents.length, gzip, budget, left: budget - gzip };
};

const sizes = await Promise.all(BUDGETS.map(measure));
console.table(Object.fromEntries(sizes.map(({ name, ...rest }) => [name, rest])));
const over = sizes.filter(({ left }) => left < 0);
for (const { name, left } of over) console.error(`${name} is ${-left} bytes above its budget: take something out`);
process.exit(over.length ? 1 : 0);

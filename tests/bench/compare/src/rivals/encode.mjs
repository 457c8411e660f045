// Writes each PNG of FOLDER in every format and quality by sharp, into OUT, and prints a line of JSON for each: what it is, and how
// long writing took in milliseconds. One thread, as a worker of ours is one.
//
// node encode.mjs MODULES FOLDER OUT FORMAT,… QUALITY,…
import { createRequire } from "node:module";
import fs from "node:fs";
import path from "node:path";

const [modules, folder, out, formats, qualities] = process.argv.slice(2);
const sharp = createRequire(path.join(modules, "/"))("sharp");
sharp.cache(false);
sharp.concurrency(1);

for (const name of fs.readdirSync(folder).filter((name) => name.endsWith(".png")).sort()) {
  const { data, info } = await sharp(path.join(folder, name)).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  for (const format of formats.split(",")) {
    for (const quality of qualities.split(",").map(Number)) {
      const began = performance.now();
      const file = await sharp(data, { raw: info })[format]({ quality }).toBuffer();
      const ms = performance.now() - began;
      const to = `${path.basename(name, ".png")}-${quality}.${format}`;
      fs.writeFileSync(path.join(out, to), file);
      console.log(JSON.stringify({ file: to, format, quality, ms }));
    }
  }
}

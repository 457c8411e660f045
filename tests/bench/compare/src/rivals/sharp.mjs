// A small image server around sharp, written as its manual advises for throughput: no result cache, files read by
// libvips itself, one libvips thread per picture and as many pictures at once as there are threads in Node's pool
// (UV_THREADPOOL_SIZE, set by who starts it).
//
// GET /resize/WIDTH/HEIGHT/NAME answers with a picture (FORMAT, of QUALITY) fitted into the box; GET /svg/WIDTH/HEIGHT/NAME with a PNG of just
// that size. It reads FOLDER, listens on a free port of loopback and prints it. SHARP_CONCURRENCY: threads per picture.
import { createRequire } from "node:module";
import http from "node:http";
import path from "node:path";

const [folder, modules] = process.argv.slice(2);
const sharp = createRequire(path.join(modules, "/"))("sharp");
sharp.cache(false);
sharp.concurrency(Number(process.env.SHARP_CONCURRENCY ?? 1));
const quality = Number(process.env.QUALITY ?? 80);
const format = process.env.FORMAT ?? "jpeg";
// PNG and GIF as sharp writes them where nobody says how: a quality would have PNG of few colours.
const settings = format === "jpeg" || format === "webp" ? { quality } : {};

const kinds = {
  resize: [`image/${format}`, (file, width, height) =>
    sharp(file, { animated: format === "gif" }).autoOrient()
      .resize(width, height, { fit: "inside", withoutEnlargement: true })[format](settings)],
  svg: ["image/png", (file, width, height) =>
    sharp(file).resize(width, height, { fit: "fill" }).png({ compressionLevel: 3, adaptiveFiltering: false })],
};

http.createServer(async (request, response) => {
  try {
    const [, kind, width, height, name] = request.url.split("/");
    const [type, picture] = kinds[kind];
    const body = await picture(path.join(folder, path.basename(name)), Number(width), Number(height)).toBuffer();
    response.writeHead(200, { "content-type": type, "content-length": body.length });
    response.end(body);
  } catch (error) {
    response.writeHead(500);
    response.end(String(error));
  }
}).listen(0, "127.0.0.1", function () {
  console.log(`listening on ${this.address().port}`);
});

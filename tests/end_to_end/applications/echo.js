// Answers with the body of the request, in chunks, with a trailer.
const http = require("http");

http.createServer((request, response) => {
  response.writeHead(200, { "Content-Type": request.headers["content-type"] || "text/plain",
    "X-Seen": `${request.method} ${request.url} ${request.headers["x-forwarded-for"]}`,
    Trailer: "X-Length" });
  let length = 0;
  request.on("data", (part) => { length += part.length; response.write(part); });
  request.on("end", () => {
    response.addTrailers({ "X-Length": length });
    response.end();
  });
}).listen(Number(process.argv[2]), "127.0.0.1");

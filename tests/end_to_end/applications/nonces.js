// Says the request again: its target and X-Nonce in fields, its body as the body.
// It closes no idle connection: on a machine that stalls that costs requests.
const http = require("http");

const server = http.createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const body = Buffer.concat(parts);
    response.writeHead(200, { "X-Target": request.url, "X-Nonce": request.headers["x-nonce"],
      "Content-Length": body.length });
    response.end(body);
  });
});
server.keepAliveTimeout = 0;
server.listen(Number(process.argv[2]), "127.0.0.1");

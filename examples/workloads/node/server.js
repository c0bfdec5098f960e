// A small HTTP service: answers with its name, ends when it is told to and what is under way is done.
"use strict";

const http = require("node:http");

const answers = new Map([
  ["/", { name: process.env.NAME || "sample-node", language: "Node.js" }],
  ["/livez", { alive: true }],
  ["/readyz", { ready: true }],
]);

const server = http.createServer((request, response) => {
  const found = request.method === "GET" && answers.get(request.url.split("?", 1)[0]);
  const body = JSON.stringify(found || { title: "Not Found" });
  response.writeHead(found ? 200 : 404, {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(body),
  });
  response.end(body);
});

process.on("SIGTERM", () => {
  server.close(() => {
    console.log("drained");
    process.exit(0);
  });
  server.closeIdleConnections();
});

server.listen(Number(process.env.PORT || 8080));

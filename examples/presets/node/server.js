const http = require("node:http");
const ms = require("ms");

const server = http.createServer((_request, response) => {
  response.end(`Hello from Node.js, up for ${ms(process.uptime() * 1000)}\n`);
});
server.listen(process.env.PORT);
process.on("SIGTERM", () => server.close());

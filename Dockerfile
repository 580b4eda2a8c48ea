# The image of Turnout: compiled in one stage, and without compilers or sources in the other.
#
#   docker build -t turnout .
#   docker run -p 4000:4000 --stop-timeout 50 -v turnout-data:/data -e TURNOUT_MASTER_KEY -e OPENAI_API_KEY turnout
#
# A configuration is found when it is mounted as /app/turnout.yaml, or where TURNOUT_CONFIG says.
# Node 22: the newest whose compiled SQLite driver is safe (`whyUnsound` in src/store/driver.ts). Newer ones take the other, which writes slower.
FROM node:22-bookworm-slim AS build
# For better-sqlite3, which is compiled where no ready-made binary can be fetched. The base image brings Node's headers along.
RUN apt-get update \
  && apt-get install -y --no-install-recommends python3 make g++ \
  && rm -rf /var/lib/apt/lists/*
ENV npm_config_nodedir=/usr/local
WORKDIR /app
# Dependencies first: this layer is built again only when they change.
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json bundle.mjs ./
COPY src src
RUN npm run build && npm prune --omit=dev

FROM node:22-bookworm-slim
ENV NODE_ENV=production HOST=0.0.0.0 PORT=4000 TURNOUT_DATA_DIR=/data
WORKDIR /app
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json config.schema.json LICENSE README.md ./
COPY migrations migrations
# For `docker run --network host -e HOST=127.0.0.1 turnout demo`: its key is known to everybody, so that it serves loopback only.
COPY examples/demo.yaml examples/
# 1000 is `node` of the base image, as a number because Kubernetes' runAsNonRoot can check no name.
RUN mkdir /data && chown 1000:1000 /data
USER 1000:1000
VOLUME /data
EXPOSE 4000
# Not `ready`: that turns false while requests drain, and is for balancers. PORT counts here: neither `--port` nor `server.port` of the
# configuration is seen, and with another port in one of them a container that is well would be called unhealthy. Set PORT, or --health-cmd.
HEALTHCHECK --interval=30s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.PORT + '/health/live').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# Node itself is process 1, with no shell before it: it handles SIGTERM and starts no children, so it needs no init.
# Draining takes longer than the 10 s of `docker stop`: --stop-timeout 50, see `drainTimeout` in docs/configuration.md.
# The young generation's room, in MB: with V8's 16 a busy gateway spends a sixth of its time on copying what is in flight.
# No pretenuring: V8 would learn from what was in flight to make the objects of requests in the old generation, where they, and all that they
# refer to, wait for a full collection: a twentieth to a fifth of the CPU, by chance of the process.
ENTRYPOINT ["node", "--max-semi-space-size=64", "--min-semi-space-size=32", "--no-allocation-site-pretenuring", "--", "dist/bin/turnout.js"]
CMD ["serve"]

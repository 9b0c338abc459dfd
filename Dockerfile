# The base of both stages: Debian 12 with Node 24. Another one will do if it has node 24, npm and apt.
ARG BASE=node:24-bookworm-slim

FROM ${BASE} AS build
# sqlite3 is compiled where its prebuilt binary can't be fetched; the headers of Node come with the base, if it has them.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates g++ make python3 \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY package.json package-lock.json ./
RUN if [ -d /usr/local/include/node ]; then export npm_config_nodedir=/usr/local; fi \
 && npm ci
COPY . .
# The node package is for machines with an older Node; the base has the right one.
RUN npm run build && npm prune --omit=dev

FROM ${BASE}
LABEL org.opencontainers.image.title="Sluice" \
      org.opencontainers.image.description="An S3-compatible gateway over versioned data repos, with pipelines behind it" \
      org.opencontainers.image.licenses="Apache-2.0"
# bubblewrap is the sandbox of pipelines where the container may make namespaces; tini reaps what user code leaves behind.
RUN apt-get update \
 && apt-get install -y --no-install-recommends bubblewrap tini \
 && rm -rf /var/lib/apt/lists/* \
 && mkdir /data && chown 10001:10001 /data
WORKDIR /opt/sluice
COPY --from=build /build/package.json ./
COPY --from=build /build/node_modules node_modules
COPY --from=build /build/dist dist
COPY --from=build /build/bin bin
COPY --from=build /build/examples/edges examples/edges
COPY --from=build /build/examples/summary examples/summary
COPY LICENSE README.md ./
RUN ln -s /opt/sluice/bin/sluice.js /usr/local/bin/sluice

ENV NODE_ENV=production \
    HOME=/tmp \
    SLUICE_HOST=0.0.0.0 \
    SLUICE_DATA=/data
USER 10001:10001
VOLUME /data
EXPOSE 30600 30601
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.SLUICE_API_PORT || 30601}/healthz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# Young objects in two halves of 16 MiB: on a large machine V8 would let each thread have up to 128 MiB of them.
ENTRYPOINT ["tini", "--", "node", "--max-semi-space-size=16", "dist/main.js"]

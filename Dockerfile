# One image for `sheaf up` and `sheaf worker`: see docs/guides/deploy-a-cluster.md.

FROM node:24-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Only what npm reads comes first: a change of the sources alone installs nothing anew.
COPY packages/protocol/package.json packages/protocol/
COPY packages/engine/package.json packages/engine/
COPY packages/packs/package.json packages/packs/
COPY packages/client/package.json packages/client/
COPY packages/server/package.json packages/server/
COPY packages/ui/package.json packages/ui/
# npm links no command whose file is not there yet.
COPY packages/server/bin packages/server/bin
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund
COPY packages packages

# The Node that runs is the one in package-lock.json, not one of the image.
FROM debian:bookworm-slim
RUN apt-get update \
  && apt-get install --yes --no-install-recommends tini \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --uid 10001 --create-home --home-dir /var/lib/sheaf sheaf
COPY --from=packages /app /app
ENV PATH=/app/node_modules/.bin:$PATH NODE_ENV=production SHEAF_DATA=/var/lib/sheaf/data
USER 10001
WORKDIR /var/lib/sheaf
# tini collects what programs of the `command` processor leave behind; signals reach sheaf through it.
ENTRYPOINT ["tini", "--", "sheaf"]
CMD ["up"]

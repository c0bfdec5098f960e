FROM node:20-bookworm-slim AS build
WORKDIR /app
COPY . .
RUN if [ -f package-lock.json ]; then npm ci --omit=dev --no-audit --no-fund; fi

FROM node:20-bookworm-slim
WORKDIR /app
COPY --from=build /app /app
ENV NODE_ENV=production PORT=8080
USER 10001:10001
EXPOSE 8080
ENTRYPOINT ["node", "${entry}"]

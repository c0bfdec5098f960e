# Debian's Go is 1.19; where go.mod wants a newer one, let the first stage begin from golang:<version>-bookworm.
FROM debian:bookworm-slim AS build
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates golang-go
WORKDIR /build
COPY . .
RUN CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags=-s -o /app/server .

FROM debian:bookworm-slim
COPY --from=build /etc/ssl/certs /etc/ssl/certs
COPY --from=build /app /app
ENV PORT=8080
USER 10001:10001
EXPOSE 8080
ENTRYPOINT ["/app/server"]

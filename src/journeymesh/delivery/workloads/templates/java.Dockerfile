FROM debian:bookworm-slim AS build
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends openjdk-17-jdk-headless
WORKDIR /build
COPY . .
RUN mkdir /app && javac -d /app *.java

FROM eclipse-temurin:17-jre
WORKDIR /app
COPY --from=build /app /app
ENV PORT=8080
USER 10001:10001
EXPOSE 8080
ENTRYPOINT ["java", "-XX:MaxRAMPercentage=60", "-XX:+ExitOnOutOfMemoryError", "-cp", "/app", "${stem}"]

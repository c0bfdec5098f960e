FROM debian:bookworm-slim AS build
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends maven openjdk-17-jdk-headless
WORKDIR /build
COPY . .
RUN mvn -B -q package && mkdir /app && cp target/*.jar /app/app.jar

FROM eclipse-temurin:17-jre
WORKDIR /app
COPY --from=build /app /app
ENV PORT=8080
USER 10001:10001
EXPOSE 8080
ENTRYPOINT ["java", "-XX:MaxRAMPercentage=60", "-XX:+ExitOnOutOfMemoryError", "-jar", "/app/app.jar"]

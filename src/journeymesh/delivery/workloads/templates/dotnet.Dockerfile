FROM mcr.microsoft.com/dotnet/sdk:8.0 AS build
WORKDIR /build
COPY . .
RUN dotnet publish ${entry} --configuration Release --output /app

FROM mcr.microsoft.com/dotnet/aspnet:8.0
WORKDIR /app
COPY --from=build /app /app
ENV PORT=8080 DOTNET_EnableDiagnostics=0
USER 10001:10001
EXPOSE 8080
ENTRYPOINT ["dotnet", "${stem}.dll"]

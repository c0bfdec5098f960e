// A small HTTP service: answers with its name; the host ends it on SIGTERM, once what is under way is done.
var name = Environment.GetEnvironmentVariable("NAME") ?? "sample-dotnet";
var port = Environment.GetEnvironmentVariable("PORT") ?? "8080";

var builder = WebApplication.CreateSlimBuilder(args);
builder.WebHost.UseUrls($"http://*:{port}");
builder.WebHost.ConfigureKestrel(options => options.AddServerHeader = false);
builder.Services.Configure<HostOptions>(options => options.ShutdownTimeout = TimeSpan.FromSeconds(20));

var app = builder.Build();
app.MapGet("/", () => new Dictionary<string, string> { ["name"] = name, ["language"] = ".NET" });
app.MapGet("/livez", () => new Dictionary<string, bool> { ["alive"] = true });
app.MapGet("/readyz", () => new Dictionary<string, bool> { ["ready"] = true });
app.MapFallback(() => Results.Json(new { title = "Not Found" }, statusCode: 404));
app.Run();

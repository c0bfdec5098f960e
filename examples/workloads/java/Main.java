import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.Executors;

/** A small HTTP service: answers with its name, ends when it is told to and what is under way is done. */
public final class Main {
    private static final String NAME = System.getenv().getOrDefault("NAME", "sample-java");
    private static final Map<String, String> ANSWERS = Map.of(
        "/", "{\"name\": \"" + NAME + "\", \"language\": \"Java\"}",
        "/livez", "{\"alive\": true}",
        "/readyz", "{\"ready\": true}");

    public static void main(String[] arguments) throws IOException {
        int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "8080"));
        HttpServer server = HttpServer.create(new InetSocketAddress(port), 128);
        server.createContext("/", Main::answer);
        server.setExecutor(Executors.newFixedThreadPool(16));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            server.stop(3); // waits for answers under way, at most so many seconds
            System.out.println("drained");
        }));
        server.start();
    }

    private static void answer(HttpExchange exchange) throws IOException {
        String found = exchange.getRequestMethod().equals("GET") ? ANSWERS.get(exchange.getRequestURI().getPath()) : null;
        byte[] body = (found == null ? "{\"title\": \"Not Found\"}" : found).getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("Content-Type", "application/json");
        exchange.sendResponseHeaders(found == null ? 404 : 200, body.length);
        try (exchange) {
            exchange.getResponseBody().write(body);
        }
    }
}

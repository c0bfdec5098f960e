// A small HTTP service: answers with its name, ends when it is told to and what is under way is done.
package main

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func main() {
	answers := map[string]any{
		"/":       map[string]string{"name": setting("NAME", "sample-go"), "language": "Go"},
		"/livez":  map[string]bool{"alive": true},
		"/readyz": map[string]bool{"ready": true},
	}
	answer := func(response http.ResponseWriter, request *http.Request) {
		found, known := answers[request.URL.Path]
		response.Header().Set("Content-Type", "application/json")
		if !known || request.Method != http.MethodGet {
			response.WriteHeader(http.StatusNotFound)
			found = map[string]string{"title": "Not Found"}
		}
		_ = json.NewEncoder(response).Encode(found)
	}
	server := &http.Server{
		Addr:              ":" + setting("PORT", "8080"),
		Handler:           http.HandlerFunc(answer),
		ReadHeaderTimeout: 10 * time.Second,
	}
	told, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	drained := make(chan error, 1)
	go func() {
		<-told.Done()
		deadline, stop := context.WithTimeout(context.Background(), 20*time.Second)
		defer stop()
		drained <- server.Shutdown(deadline)
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	log.Printf("drained (%v)", <-drained)
}

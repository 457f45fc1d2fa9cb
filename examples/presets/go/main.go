package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(response http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(response, "Hello from Go")
	})
	log.Fatal(http.ListenAndServe(":"+os.Getenv("PORT"), nil))
}

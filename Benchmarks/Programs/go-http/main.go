// SPDX-License-Identifier: Apache-2.0

// "hello" by net/http, as a good Go program answers it; one processor runs the goroutines.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

func fail(what string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	os.Exit(1)
}

func hello(writer http.ResponseWriter, request *http.Request) {
	writer.Header().Set("Content-Type", "text/plain; charset=utf-8")
	writer.Write([]byte("hello"))
}

func main() {
	if len(os.Args) != 1 && len(os.Args) != 3 {
		fmt.Fprintf(os.Stderr, "usage: %s [CERTIFICATE KEY]\n", os.Args[0])
		os.Exit(2)
	}
	runtime.GOMAXPROCS(1)
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	go func() {
		<-terminate
		os.Exit(0)
	}()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		fail("listen", err)
	}
	fmt.Printf("listening on %s\n", listener.Addr())
	server := &http.Server{Handler: http.HandlerFunc(hello)}
	if len(os.Args) == 3 {
		err = server.ServeTLS(listener, os.Args[1], os.Args[2])
	} else {
		err = server.Serve(listener)
	}
	fail("serve", err)
}

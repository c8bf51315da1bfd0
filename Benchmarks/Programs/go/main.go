// SPDX-License-Identifier: Apache-2.0

// The echo server of a good Go program: a goroutine for each connection, with a buffer of its
// own. The runtime keeps the loop (epoll) to itself; one processor runs the goroutines.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

const bufferByteCount = 128 * 1024 // As the references: what is compared is the loops.

func fail(what string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	os.Exit(1)
}

// Go turns TCP_NODELAY on by itself. net.Conn's Write returns once all bytes are written.
func echo(connection net.Conn) {
	defer connection.Close()
	buffer := make([]byte, bufferByteCount)
	for {
		count, err := connection.Read(buffer)
		if count > 0 {
			if _, err := connection.Write(buffer[:count]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintf(os.Stderr, "usage: %s HOST PORT\n", os.Args[0])
		os.Exit(2)
	}
	runtime.GOMAXPROCS(1)
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	go func() {
		<-terminate
		os.Exit(0)
	}()
	listener, err := net.Listen("tcp4", net.JoinHostPort(os.Args[1], os.Args[2]))
	if err != nil {
		fail("listen", err)
	}
	fmt.Printf("listening on %s backend=go loops=1\n", listener.Addr())
	for {
		connection, err := listener.Accept()
		if err != nil {
			fail("accept", err)
		}
		go echo(connection)
	}
}

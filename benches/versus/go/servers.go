// The servers of src/server.rs, with net and net/http.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
)

// serve runs a server until standard input ends. net sets TCP_NODELAY by itself.
func serve(server func(net.Listener)) report {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go server(listener)
	fmt.Printf("listening %s\n", listener.Addr())
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		panic(err)
	}
	return report{}
}

func echoServer(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go echo(conn)
	}
}

func echo(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 4096)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		if _, err := conn.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func httpServer(listener net.Listener) {
	panic(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, "Hello, world!")
	})))
}

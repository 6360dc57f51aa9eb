package faynosync_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
)

// A fakeRedis is the part of Redis that package faynosync uses. It works in memory and over pipes,
// so that it fits into a synctest bubble. The integration module tests the package with a real
// Redis.
type fakeRedis struct {
	mu     sync.Mutex
	values map[string]string
	ttl    map[string]time.Duration
	errors map[string]string // answers about keys instead of their values
	down   bool              // connecting fails, and connections end with the next command
	hangs  bool              // commands are read and not answered
	cut    string            // a GET of this key ends the connection
	reads  int               // batches of commands that include a GET
}

func newFakeRedis() *fakeRedis {
	return &fakeRedis{values: map[string]string{}, ttl: map[string]time.Duration{}, errors: map[string]string{}}
}

// client returns a client that tries each command once.
func (f *fakeRedis) client(t testing.TB) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{
		Dialer: f.dial, Protocol: 2, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true,
	})
	t.Cleanup(func() { assert.NoError(t, client.Close()) })
	return client
}

func (f *fakeRedis) dial(context.Context, string, string) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return nil, io.ErrClosedPipe
	}
	client, server := net.Pipe()
	go f.serve(server)
	return client, nil
}

// serve answers a batch of commands at its end, as Redis does.
func (f *fakeRedis) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	var answers strings.Builder
	for asked := false; ; {
		command, err := readCommand(in)
		if err != nil {
			return
		}
		asked = asked || command[0] == "get"
		answer, ok := f.answer(command)
		answers.WriteString(answer)
		if ok && in.Buffered() > 0 {
			continue
		}
		if asked {
			f.set(func() { f.reads++ })
		}
		if _, err := io.WriteString(conn, answers.String()); err != nil || !ok {
			return
		}
		answers.Reset()
		asked = false
	}
}

// answer returns the answer to a command, and whether the connection stays.
func (f *fakeRedis) answer(command []string) (answer string, stays bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := strings.ToLower(command[0])
	switch {
	case f.down:
		return "", false
	case name != "get" && name != "set": // the greeting of a client
		return "-ERR unknown command\r\n", true
	case f.hangs:
		return "", true
	case f.errors[command[1]] != "":
		return "-" + f.errors[command[1]] + "\r\n", true
	case name == "set":
		return f.store(command[1], command[2], command[3:]), true
	case command[1] == f.cut:
		return "", false
	}
	value, ok := f.values[command[1]]
	if !ok {
		return "$-1\r\n", true
	}
	return fmt.Sprintf("$%d\r\n%s\r\n", len(value), value), true
}

func (f *fakeRedis) store(key, value string, options []string) string {
	_, exists := f.values[key]
	var ttl time.Duration
	for i, option := range options {
		switch strings.ToLower(option) {
		case "nx":
			if exists {
				return "$-1\r\n"
			}
		case "ex":
			seconds, _ := strconv.Atoi(options[i+1])
			ttl = time.Duration(seconds) * time.Second
		}
	}
	f.values[key], f.ttl[key] = value, ttl
	return "+OK\r\n"
}

// set changes the server.
func (f *fakeRedis) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// get returns the value of a key, and how long it stays.
func (f *fakeRedis) get(key string) (value string, ttl time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.values[key], f.ttl[key]
}

// readCommand reads an array of strings, the form of a command.
func readCommand(in *bufio.Reader) ([]string, error) {
	n, err := readLength(in, '*')
	if err != nil {
		return nil, err
	}
	command := make([]string, n)
	for i := range command {
		length, err := readLength(in, '$')
		if err != nil {
			return nil, err
		}
		text := make([]byte, length+len("\r\n"))
		if _, err := io.ReadFull(in, text); err != nil {
			return nil, err
		}
		command[i] = string(text[:length])
	}
	return command, nil
}

func readLength(in *bufio.Reader, kind byte) (int, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return 0, err
	}
	if line[0] != kind {
		return 0, fmt.Errorf("%q is not of kind %c", line, kind)
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}

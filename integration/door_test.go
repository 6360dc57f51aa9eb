package integration_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

const (
	crowdSize = 10_000 // connections
	openFiles = crowdSize + 500

	updatePath = "/tuf/v1/metadata/online?appName=" + demoApp
)

// needOpenFiles makes sure that this process may hold all connections, and so may the server, which
// inherits the limit.
func needOpenFiles(t *testing.T) {
	t.Helper()
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	limit.Cur = limit.Max
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	if limit.Cur >= openFiles {
		return
	}
	if os.Getenv("TUF_TEST_REQUIRE") != "" {
		t.Fatalf("a process may open %d files, fewer than %d (ulimit -n)", limit.Cur, openFiles)
	}
	t.Skipf("NOT TESTED: a process may open %d files, fewer than %d (ulimit -n)", limit.Cur, openFiles)
}

// peakMemory returns the most that the server ever had resident, in MiB.
func (s *server) peakMemory(t *testing.T) (mib int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("NOT MEASURED: there is no /proc/PID/status here")
	}
	require.NoError(t, err)
	match := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	require.NotNil(t, match, "%s", status)
	kib, err := strconv.Atoi(string(match[1]))
	require.NoError(t, err)
	return kib >> 10
}

// openFiles returns how many files the server has open.
func (s *server) openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	require.NoError(t, err)
	return len(entries)
}

// works plays the clients that the server is there for, who come with new connections: a roll
// succeeds, and go-tuf's client sees what came of it.
func (s *server) works(t *testing.T, client httpClient) {
	t.Helper()
	http.DefaultClient.CloseIdleConnections()
	before := client.versions(t)
	task := s.waitFor(t, s.roll(t))
	after := client.versions(t)
	require.Greater(t, after[metadata.TIMESTAMP], before[metadata.TIMESTAMP])
	require.Equal(t, task.Result.Details.Versions[metadata.TIMESTAMP], after[metadata.TIMESTAMP])
}

// crowd opens so many connections at once, which all say the same and then nothing more. It returns
// once all are connected, with a count of those on whom the server has hung up, and with what waits
// for it to hang up on all.
func (s *server) crowd(t *testing.T, n int, says string) (gone *atomic.Int64, wait func()) {
	t.Helper()
	gone = new(atomic.Int64)
	var open, dialing sync.WaitGroup
	const dialers = 16
	for range dialers {
		dialing.Go(func() {
			for range n / dialers {
				conn := s.dial(t)
				_, _ = io.WriteString(conn, says) // it may have had to go already
				open.Go(func() {
					defer conn.Close()
					_, _ = io.Copy(io.Discard, conn) // to the end, or to a reset
					gone.Add(1)
				})
			}
		})
	}
	dialing.Wait()
	return gone, open.Wait
}

func TestTenThousandConnectionsKeepNobodyOut(t *testing.T) {
	needOpenFiles(t)
	program := buildServer(t)
	for _, tc := range []struct {
		name   string
		says   string
		atMost int // MiB that the server may have resident at any time
	}{
		{"that say nothing", "", 128},
		{
			"that begin a header and never end it",
			"POST " + updatePath + " HTTP/1.1\r\nHost: x\r\nX-Filler: " + strings.Repeat("x", 12<<10), 512,
		},
		{"that announce a body and do not send it",
			"POST " + updatePath + " HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n", 256},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := startServer(t, program, t.TempDir())
			client := s.client(t)
			s.works(t, client)
			before := s.peakMemory(t)

			gone, wait := s.crowd(t, crowdSize, tc.says)
			dropped, files := gone.Load(), s.openFiles(t)
			s.works(t, client)
			require.Greater(t, crowdSize-gone.Load(), int64(1000), "nobody has to wait until the crowd is gone")
			s.works(t, client)
			wait()
			require.EqualValues(t, crowdSize, gone.Load(), "the server hangs up on all of them")
			s.works(t, client)

			peak := s.peakMemory(t)
			t.Logf("%d connections %s: %d had to go while they came, then the server had %d files open; its memory peaked at %d MiB, %d MiB before",
				crowdSize, tc.name, dropped, files, peak, before)
			assert.Less(t, peak, tc.atMost)
			s.isUnhurt(t, 4)
		})
	}
}

func TestBodiesThatNeverEndAreRefused(t *testing.T) {
	s := startServer(t, buildServer(t), t.TempDir())
	client := s.client(t)
	s.works(t, client)
	const asJSON, chunked = "Content-Type: application/json", "Transfer-Encoding: chunked"
	length := func(n int) string { return fmt.Sprint("Content-Length: ", n) }
	noToken := func(lines ...string) string { return strings.Replace(s.posts(lines...), "Authorization:", "X:", 1) }
	const endless = 1 << 30 // bytes: more than anybody reads

	attacks := []struct {
		name   string
		head   string
		body   string // repeated up to times
		times  int
		slowly bool // one every tenth of a second
		status int
	}{
		{"a byte at a time", s.posts(asJSON, length(60_000)), " ", endless, true, 400},
		{"a chunk at a time", s.posts(asJSON, chunked), "1\r\n \r\n", endless, true, 400},
		{"a byte at a time, without a token", noToken(asJSON, length(60_000)), " ", endless, true, 401},
		{"a chunk at a time, without a token", noToken(asJSON, chunked), "1\r\n \r\n", endless, true, 401},
		{"shorter than announced", s.posts(asJSON, length(3)), "{}", 1, false, 400},
		{"nothing of what was announced", s.posts(asJSON, length(9)), "", 0, false, 400},
		{"half a chunk", s.posts(asJSON, chunked), "5\r\n{}", 1, false, 400},
		{"no last chunk", s.posts(asJSON, chunked), "2\r\n{}\r\n", 1, false, 400},
		{"chunks without end", s.posts(asJSON, chunked), "a\r\n          \r\n", endless / 15, false, 413},
		{"chunks without end, without a token", noToken(asJSON, chunked), "a\r\n          \r\n", endless / 15, false, 401},
		{"1 GB announced and sent", s.posts(asJSON, length(1<<30)), strings.Repeat(" ", 4096), endless / 4096, false, 413},
		{"1 GB announced and sent, without a token", noToken(asJSON, length(1<<30)), strings.Repeat(" ", 4096),
			endless / 4096, false, 401},
		{"1 GB announced, not sent", s.posts(asJSON, length(1<<30)), "{", 1, false, 400},
		{"1 GB in one chunk", s.posts(asJSON, chunked) + "40000000\r\n", strings.Repeat(" ", 4096), endless / 4096, false,
			413},
		{"a chunk larger than any number", s.posts(asJSON, chunked), "10000000000000000\r\n ", 1, false, 400},
		{"a chunk of negative size", s.posts(asJSON, chunked), "-1\r\n ", 1, false, 400},
		{"the size of a chunk without end", s.posts(asJSON, chunked), "0", endless, false, 400},
		{"an extension of a chunk without end", s.posts(asJSON, chunked) + "2;x=", strings.Repeat("x", 4096), endless / 4096,
			false, 400},
		{
			"small chunks with large extensions", s.posts(asJSON, chunked), "1;" + strings.Repeat("x", 2000) + "\r\n \r\n",
			endless / 2000, false, 400,
		},
		{"a trailer without end", s.posts(asJSON, chunked) + "2\r\n{}\r\n0\r\nX: ", strings.Repeat("x", 4096), endless / 4096,
			false, 400},
	}
	var attacking sync.WaitGroup
	for _, a := range attacks {
		attacking.Go(func() {
			conn := s.dial(t)
			defer conn.Close()
			said := make(chan struct{})
			go func() {
				defer close(said)
				saysWithoutEnd(conn, a.head, a.body, a.times, a.slowly)
			}()
			statuses := readStatuses(conn)
			conn.Close() // the server may have answered before it heard all of it
			<-said
			assert.Equal(t, []int{a.status}, statuses, a.name)
		})
	}
	s.works(t, client)
	attacking.Wait()
	s.works(t, client)
	t.Logf("%d hostile requests refused; memory peaked at %d MiB", len(attacks), s.peakMemory(t))
	assert.Less(t, s.peakMemory(t), 128)
	s.isUnhurt(t, 3)
}

// saysWithoutEnd writes until it is done or hears that the server has hung up.
func saysWithoutEnd(conn io.Writer, head, body string, times int, slowly bool) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	_, err := io.WriteString(conn, head)
	for ; times > 0 && err == nil; times-- {
		_, err = io.WriteString(conn, body)
		if slowly {
			<-tick.C
		}
	}
}

func (s *server) dial(t *testing.T) net.Conn {
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.api, "http://"))
	if err != nil {
		t.Errorf("connecting: %v", err)
		panic(err)
	}
	return conn
}

// readStatuses reads answers until the server hangs up, and returns their statuses.
func readStatuses(conn io.Reader) (statuses []int) {
	for r := bufio.NewReader(conn); ; {
		response, err := http.ReadResponse(r, nil)
		if err != nil {
			return statuses
		}
		statuses = append(statuses, response.StatusCode)
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			return statuses
		}
		if response.Close {
			return statuses
		}
	}
}

func TestAmbiguousRequestsAreRefused(t *testing.T) {
	s := startServer(t, buildServer(t), t.TempDir())
	client := s.client(t)
	s.works(t, client)
	const body, asJSON = "0\r\n\r\n", "Content-Type: application/json"
	token := "Authorization: Bearer " + s.token + "\r\n"
	smuggled := "POST " + updatePath + " HTTP/1.1\r\nHost: x\r\n\r\n"
	noToken := func(lines ...string) string { return strings.Replace(s.posts(lines...), "Authorization:", "X:", 1) }
	line := func(line string) string { return line + "\r\nHost: x\r\n" + token + "\r\n" }

	attacks := []struct {
		name     string
		request  string
		statuses []int // of all answers on the connection
	}{
		{
			"both lengths, a request in the body", noToken("Content-Length: 200", "Transfer-Encoding: chunked") + body +
				smuggled,
			[]int{401, 401},
		},
		{
			"both lengths, the other way round", noToken("Transfer-Encoding: chunked", "Content-Length: 5") + body + smuggled,
			[]int{401, 401},
		},
		{"two lengths", s.posts("Content-Length: 0", "Content-Length: 2") + "{}", []int{400}},
		{"two lengths in a list", s.posts("Content-Length: 0, 2") + "{}", []int{400}},
		{"a length with a sign", s.posts("Content-Length: +2") + "{}", []int{400}},
		{"a negative length", s.posts("Content-Length: -1"), []int{400}},
		{"a hexadecimal length", s.posts("Content-Length: 0x2") + "{}", []int{400}},
		{"a length beyond numbers", s.posts("Content-Length: 99999999999999999999"), []int{400}},
		{"an unknown transfer coding", s.posts("Transfer-Encoding: xchunked") + body, []int{501}},
		{"identity", s.posts("Transfer-Encoding: identity") + body, []int{501}},
		{"two transfer codings", s.posts("Transfer-Encoding: chunked", "Transfer-Encoding: identity") + body, []int{501}},
		{"chunked twice", s.posts("Transfer-Encoding: chunked, chunked") + body, []int{501}},
		{"a space before the colon", s.posts("Transfer-Encoding : chunked") + body, []int{400}},
		{"a vertical tab in the coding", s.posts("Transfer-Encoding: \vchunked") + body, []int{400}},
		{"a header without a name", s.posts(": x"), []int{400}},
		{"a line that is no header", s.posts("x"), []int{400}},
		{"NUL in a header", s.posts("X: a\x00b"), []int{400}},
		{"a lone carriage return in a header", s.posts("X: a\rContent-Length: 9"), []int{400}},
		{"two hosts", s.posts("Host: evil.example"), []int{400}},
		{"no host", "POST " + updatePath + " HTTP/1.1\r\n" + token + "\r\n", []int{400}},
		{"a host with a path", strings.Replace(s.posts(), "Host: x", "Host: x/../y", 1), []int{400}},
		{"an expectation that nobody knows", s.posts("Expect: 200-ok"), []int{417}},
		{
			"absolute URL", noToken("Content-Length: 0") + "POST http://evil.example" + updatePath +
				" HTTP/1.1\r\nHost: x\r\n\r\n",
			[]int{401, 401},
		},
		{"absolute URL to a file", line("GET file:///etc/passwd HTTP/1.1"), []int{404}},
		{"CONNECT", line("CONNECT 127.0.0.1:22 HTTP/1.1"), []int{404}},
		{"an asterisk", line("POST * HTTP/1.1"), []int{400}},
		{"HTTP/0.9", "GET /healthz\r\n\r\n", []int{400}},
		{"HTTP/1.0 without a token", strings.Replace(noToken(), "HTTP/1.1", "HTTP/1.0", 1), []int{401}},
		{
			"HTTP/1.0 with chunks, without a token",
			strings.Replace(noToken("Transfer-Encoding: chunked"), "HTTP/1.1", "HTTP/1.0", 1) + body + smuggled, []int{401},
		},
		{"HTTP/1.2", strings.Replace(noToken("Content-Length: 0"), "HTTP/1.1", "HTTP/1.2", 1), []int{401}},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{400}},
		{"HTTP/9.9", line("POST " + updatePath + " HTTP/9.9"), []int{505}},
		{
			"upgrade to h2c, without a token",
			noToken("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__",
				"Content-Length: 0"),
			[]int{401},
		},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", []int{400}},
		{"a method that overrides another", strings.Replace(s.posts("X-HTTP-Method-Override: POST"), "POST", "GET", 1),
			[]int{405}},
		{"no method", line(" " + updatePath + " HTTP/1.1"), []int{400}},
		{"a method with a space", line("PO ST " + updatePath + " HTTP/1.1"), []int{400}},
		{"a space in the path", line("POST " + updatePath + " x HTTP/1.1"), []int{400}},
		{"NUL in the query", line("POST " + updatePath + "\x00 HTTP/1.1"), []int{400}},
		{"tab in the query", line("POST " + updatePath + "\t HTTP/1.1"), []int{400}},
		{"carriage return in the query", line("POST " + updatePath + "\rX: HTTP/1.1"), []int{400}},
		{"newline in the query", line("POST " + updatePath + "\nX: HTTP/1.1"), []int{400}},
		{"encoded newline in the query", line("POST " + updatePath + "%0d%0aX:%201 HTTP/1.1"), []int{400}},
		{"a path of 1 MB", line("POST /" + strings.Repeat("a", 1<<20) + " HTTP/1.1"), []int{431}},
		{"a query of 1 MB", line("POST " + updatePath + strings.Repeat("a", 1<<20) + " HTTP/1.1"), []int{431}},
		{"a header of 1 MB", s.posts("X: " + strings.Repeat("a", 1<<20)), []int{431}},
		{"the name of a header of 1 MB", s.posts(strings.Repeat("a", 1<<20) + ": x"), []int{431}},
		{"100,000 headers", s.posts(strings.Repeat("X: y\r\n", 100_000) + "X: y"), []int{431}},
		{"100,000 empty lines", strings.Repeat("\r\n", 100_000) + line("POST "+updatePath+" HTTP/1.1"), []int{400}},
		{"an empty content type", s.posts(asJSON, "Content-Type: text/plain", "Content-Length: 2") + "{}", []int{400}},
	}
	for _, a := range attacks {
		assert.Equal(t, a.statuses, s.answers(t, a.request), a.name)
	}
	s.works(t, client)
	t.Logf("%d hostile requests refused", len(attacks))
	s.isUnhurt(t, 2)
}

// answers writes a request, and nothing after it, and returns the statuses of all answers on that
// connection.
func (s *server) answers(t *testing.T, request string) (statuses []int) {
	t.Helper()
	conn := s.dial(t)
	defer conn.Close()
	said := make(chan struct{})
	go func() {
		defer close(said)
		_, _ = io.WriteString(conn, request) // the server may not want to hear all of it
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	statuses = readStatuses(conn)
	conn.Close()
	<-said
	return statuses
}

func TestPathsThatAreNoFilesAreNotServed(t *testing.T) {
	s := startServer(t, buildServer(t), t.TempDir())
	client := s.client(t)
	s.works(t, client)
	inside := strings.TrimPrefix(s.metadata, s.api) // with a slash at the end

	// What an attacker would like to read is there.
	for _, name := range []string{"keys", "root-keys", "jwt-secret", "roots/" + demoApp + ".json",
		"repository/" + demoApp + "/.filestore/lock"} {
		_, err := os.Stat(filepath.Join(s.dir, "demo-data", filepath.FromSlash(name)))
		require.NoError(t, err)
	}
	var paths []string
	for _, climb := range []string{
		"../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "%2e%2e%5c", "..%255c", "%252e%252e%252f", "%c0%ae%c0%ae/",
		"..%c0%af",
		"%uff0e%uff0e/", "%ef%bc%8e%ef%bc%8e/", "....//", "..;/", ".%00./", "..%00/", "..%0a/",
		"targets/../../", "./../", "%2f..%2f", "x/..%2f..%2f",
	} {
		for _, name := range []string{"jwt-secret", "roots/" + demoApp + ".json", "keys/" + demoApp,
			"../../../../../../../etc/passwd"} {
			paths = append(paths, inside+strings.Repeat(climb, 3)+name, "/tuf_metadata/"+climb+name)
		}
	}
	for _, name := range []string{
		".filestore/lock", "%2efilestore/lock", ".filestore%2flock", "targets/.filestore/lock", ".filestore", ".filestore/",
		"../.filestore/lock", "x/../.filestore/lock",
		"", "/", ".", "..", "%2f", "%00", "%", "%zz", "%ff", "%2e", "//timestamp.json", "./timestamp.json",
		"%2ftimestamp.json",
		"timestamp.json/", "timestamp.json%00", "timestamp.json%00.txt",
		"timestamp.json/x", "timestamp.json%20", "timestamp.json.", "timestamp.json::$DATA", "timestamp.json~",
		"TIMESTAMP.JSON",
		"timestamp%2ejson%2f", "timestamp.json;x", "targets", "targets/", "targets/..", "0.root.json", "-1.root.json",
		"01.root.json", "1.ROOT.json", "99999999999999999999.root.json", strings.Repeat("a/", 5000),
		strings.Repeat("%2e%2e%2f", 1500), strings.Repeat("a", 2000), "a%00" +
			strings.Repeat("b", 255), strings.Repeat("a", 256),
		"*", "?", "con", "nul.json", "$(id)", "`id`", "'", "%0d%0aSet-Cookie:%20x", "<script>",
	} {
		paths = append(paths, inside+name)
	}
	paths = append(paths,
		"/tuf_metadata", "/tuf_metadata/", "/tuf_metadata/demo", "/tuf_metadata/demo/", "/tuf_metadata/demo/hello",
		"/tuf_metadata//demo/hello/timestamp.json", "/tuf_metadata/%2fdemo/hello/timestamp.json",
		"/tuf_metadata/demo%2fhello", "/tuf_metadata/keys/"+demoApp, "/tuf_metadata/.filestore/lock",
		"/tuf_metadata/demo/.filestore/lock", "/TUF_METADATA/demo/hello/timestamp.json",
		"/tuf%5fmetadata/..%2fx", "/.git/config", "/debug/pprof/", "/debug/vars", "/metrics", "/favicon.ico", "/tuf/v1/",
		"/tuf/v1/metadata/online/", "/tuf/v1/metadata/../task", "/tuf/v1/%2e%2e/v1/task", "/tuf/v1//task",
		"//tuf/v1/task", "/tuf/v1/task/", "/tuf/v1/task%2f", "/healthz/", "//healthz", "/healthz%00", "/healthz/..",
		"/%2e%2e/healthz", "//evil.example/%2e%2e",
	)
	secret, err := os.ReadFile(filepath.Join(s.dir, "demo-data", "jwt-secret"))
	require.NoError(t, err)
	for _, path := range paths {
		for _, query := range []string{"", "?token=" + s.token} {
			conn := s.dial(t)
			_, err := fmt.Fprintf(conn, "GET %s%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path, query)
			require.NoError(t, err)
			answer, err := io.ReadAll(conn)
			require.NoError(t, err)
			conn.Close()
			assert.Regexp(t, `^HTTP/1\.1 (404|400) `, string(answer), path)
			for _, forbidden := range []string{string(secret), "PRIVATE KEY", "root:x:", "\r\nSet-Cookie:", "\r\nLocation:",
				`"signed"`} {
				assert.NotContains(t, string(answer), forbidden, path)
			}
		}
	}
	s.works(t, client)
	t.Logf("%d hostile requests refused", 2*len(paths))
	s.isUnhurt(t, 2)
}

// posts returns the beginning of an update request of the demo's admin.
func (s *server) posts(lines ...string) string {
	lines = append([]string{"POST " + updatePath + " HTTP/1.1", "Host: x", "Authorization: Bearer " + s.token}, lines...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// isUnhurt stops the server and judges its log: it accepted as many tasks as the test asked for in
// earnest.
func (s *server) isUnhurt(t *testing.T, accepted int) {
	t.Helper()
	log := s.stop(t)
	assert.NotContains(t, log, "panic")
	assert.NotContains(t, log, "level=ERROR")
	assert.NotContains(t, log, s.token)
	assert.Equal(t, accepted, strings.Count(log, "path=/tuf/v1/metadata/online status=200"))
}

package s3server

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const victimEnv = "TUF_TEST_VICTIM" // makes a test the one that is killed

func TestTheServerEndsWithATestThatIsKilled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("NOT TESTED: only on Linux does the server end with a test that is killed")
	}
	if os.Getenv("TUF_TEST_S3_URL") != "" {
		t.Skip("NOT TESTED: the server that TUF_TEST_S3_URL names does not end with a test")
	}
	endpoint := Start(t).Place().Query().Get("endpoint") // so that this test too is skipped where no server can be started
	require.True(t, healthy(endpoint))

	program, err := os.Executable()
	require.NoError(t, err)
	victim := exec.CommandContext(t.Context(), program, "-test.run=^TestVictim$")
	victim.Env = append(os.Environ(), victimEnv+"=1", "TMPDIR="+t.TempDir()) // nobody cleans up after it
	output, err := victim.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, victim.Start())
	line, err := bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err)
	endpoint = strings.TrimSpace(line)
	require.True(t, healthy(endpoint), endpoint)

	require.NoError(t, victim.Process.Kill())
	require.Error(t, victim.Wait())
	require.Eventually(t, func() bool { return !healthy(endpoint) }, 30*time.Second, 20*time.Millisecond,
		"the server has outlived its test")
}

// TestVictim is no test by itself: it starts a server, says where, and waits until it is killed.
func TestVictim(t *testing.T) {
	if os.Getenv(victimEnv) == "" {
		t.Skip("this is what TestTheServerEndsWithATestThatIsKilled kills")
	}
	endpoint := Start(t).Place().Query().Get("endpoint")
	_, err := os.Stdout.WriteString(endpoint + "\n")
	require.NoError(t, err)
	<-t.Context().Done()
}

func healthy(endpoint string) bool {
	response, err := http.Get(endpoint + "/health")
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

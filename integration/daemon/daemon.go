// Package daemon starts the servers that tests need, each in a process that ends with the test.
package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const patience = 30 * time.Second // with a server's first answer, and with its end

// A Process is a server's.
type Process struct {
	stop  context.CancelFunc
	alive context.Context // ends with the process; its cause says how that came
}

// Start starts a process that ends with the test, on Linux even with one that is killed, and waits
// until check finds that it answers. It is stopped by SIGTERM, or by the signal that stop is if
// that is not 0. An error of Start shows what the process has written.
func Start(t testing.TB, cmd *exec.Cmd, stop syscall.Signal, check func(context.Context) error) (*Process, error) {
	t.Helper()
	if stop == 0 {
		stop = syscall.SIGTERM
	}
	// The server outlives the test's context, which ends before the test's cleanups, and those may
	// want it.
	running, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	outlived := exec.CommandContext(running, cmd.Path, cmd.Args[1:]...)
	outlived.Env, outlived.Dir, outlived.SysProcAttr = cmd.Env, cmd.Dir, cmd.SysProcAttr
	outlived.Cancel = func() error { return outlived.Process.Signal(stop) }
	outlived.WaitDelay = patience // then it is killed
	var output bytes.Buffer
	outlived.Stdout, outlived.Stderr = &output, &output
	endWithParent(outlived)
	alive, ended := context.WithCancelCause(context.WithoutCancel(t.Context()))
	started := make(chan error, 1)
	go func() {
		// The kernel takes the end of the thread that started the server for the end of the test.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := outlived.Start()
		started <- err
		if err == nil {
			_ = outlived.Wait()
			ended(fmt.Errorf("it ended (%s):\n%s", outlived.ProcessState, &output))
		}
	}()
	if err := <-started; err != nil {
		cancel()
		return nil, err
	}
	p := &Process{cancel, alive}
	t.Cleanup(p.Stop)
	return p, p.answers(check)
}

// Stop stops the process, if it runs still, and waits for its end.
func (p *Process) Stop() {
	p.stop()
	<-p.alive.Done()
}

// answers waits until check returns nil.
func (p *Process) answers(check func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(p.alive, patience, errors.New("it does not answer"))
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", context.Cause(ctx), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// FreeAddress returns an address on loopback that was free a moment ago.
func FreeAddress(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// Need skips the test, loudly, if err says that what it needs did not start; it fails if
// TUF_TEST_REQUIRE is set.
func Need(t testing.TB, server string, err error) {
	t.Helper()
	if err != nil && os.Getenv("TUF_TEST_REQUIRE") == "" {
		t.Skipf("NOT TESTED with %s, which did not start: %v", server, err)
	}
	require.NoError(t, err, "start %s", server)
}

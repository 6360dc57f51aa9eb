package daemon

import (
	"os/exec"
	"syscall"
)

// endWithParent has the kernel kill the process that cmd starts when the thread that starts it
// ends, as it does when its process is killed.
func endWithParent(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
}

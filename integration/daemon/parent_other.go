//go:build !linux

package daemon

import "os/exec"

// endWithParent does nothing: other systems offer no such thing.
func endWithParent(*exec.Cmd) {}

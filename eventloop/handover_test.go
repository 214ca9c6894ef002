package eventloop

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// handoverEnv, when set, makes the test binary the process that a listening socket is handed to.
const handoverEnv = "EVENTLOOP_TEST_HANDOVER"

// TestHandoverHeir is the other process: it imports descriptor 3, says where it listens to one client, and ends.
func TestHandoverHeir(t *testing.T) {
	if os.Getenv(handoverEnv) == "" {
		t.Skip("only runs in a process that TestHandover starts")
	}
	fd, at, err := Import(fileOf(3))
	if err != nil {
		t.Fatal(err)
	}
	if flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); flags&unix.O_NONBLOCK == 0 {
		t.Error("the imported socket blocks")
	}
	if flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
		t.Error("the imported socket would be inherited by another program")
	}
	client, _ := acceptFrom(t, fd)
	write(t, client, "heir at "+at.String())
	closeFD(client)
}

func TestHandover(t *testing.T) {
	ln, at := listenOn(t, ListenOptions{Addr: loopback})
	f, err := Export(ln)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^TestHandoverHeir$", "-test.v")
	cmd.Env = append(os.Environ(), handoverEnv+"=1")
	cmd.ExtraFiles = []*os.File{f}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The description is shared by both: had passing it on made it blocking, a loop here would hang in accept.
	if flags, _ := unix.FcntlInt(uintptr(ln), unix.F_GETFL, 0); flags&unix.O_NONBLOCK == 0 {
		t.Error("handing the socket over made it blocking")
	}
	closeFD(ln) // the heir's is all that listens
	f.Close()
	client := connectTo(t, at)
	closeAtEnd(t, client)
	awaits(t, client, unix.POLLIN)
	read(t, client, fmt.Sprintf("heir at %s", at))
	if err := cmd.Wait(); err != nil {
		t.Errorf("the heir: %v\n%s", err, said.Bytes())
	}
}

func TestExportKeepsListening(t *testing.T) {
	ln, at := listenOn(t, ListenOptions{Addr: loopback})
	closeAtEnd(t, ln)
	f, err := Export(ln)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, connectTo(t, at), connectTo(t, at))
	fd, got, err := Import(f)
	if err != nil || got != at {
		t.Fatalf("imported %s, %v; want %s", got, err, at)
	}
	if f.Close() == nil {
		t.Error("Import left the file open")
	}
	// One queue: each takes one of the two.
	mine, _ := acceptFrom(t, ln)
	theirs, _ := acceptFrom(t, fd)
	closeAtEnd(t, fd, mine, theirs)
}

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// nginxServer serves a directory over HTTP, as one process: all of it under /, slowly under /slow/, and files may be PUT into /in/.
func nginxServer(t *testing.T, root string) (*program, string) {
	t.Helper()
	path := need(t, "nginx")
	dir := t.TempDir()
	file := filepath.Join(dir, "nginx.conf")
	return serve(t, syscall.SIGTERM, func(host, port string) *exec.Cmd {
		text := fmt.Sprintf(`
daemon off;
master_process off;
pid nginx.pid;
events { worker_connections 512; }
http {
	access_log off;
	sendfile on;
	keepalive_requests 1000000;
	client_max_body_size 0;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	server {
		listen %s:%s;
		root %[3]q;
		location /slow/ { alias %[4]q; limit_rate 16m; }
		location /in/ { dav_methods PUT; create_full_put_path on; }
	}
}
`, host, port, root, root+"/")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return command(t, path, "-p", dir, "-c", file, "-e", "stderr")
	})
}

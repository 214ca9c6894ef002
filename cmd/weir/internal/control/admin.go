package control

import (
	"context"
	"errors"
	"time"

	"weir/cmd/weir/internal/admin"
	"weir/config"
)

// adminGrace is how long requests of an administrative side that closes may take to finish.
const adminGrace = 2 * time.Second

// openAdmin returns the administrative side for a configuration: the present one when it listens where it is to, else a new
// one. On an error nothing has changed.
func (c *Control) openAdmin(a config.Admin) (*admin.Server, error) {
	old := c.running.Snapshot.Admin
	if c.admin == nil || old.Listen != a.Listen {
		return admin.Serve(admin.Options{
			Listen: a.Listen, TokenFile: a.TokenFile, View: c.View, Version: c.version, Log: c.log,
		})
	}
	if old.TokenFile == a.TokenFile {
		return c.admin, nil
	}
	return c.admin, c.admin.SetTokenFile(a.TokenFile)
}

// replaceAdmin puts another administrative side in the place of the present one, which may go on answering what it was
// asked, this request among it. With the mutex held.
func (c *Control) replaceAdmin(next *admin.Server) {
	old := c.admin
	if old == next {
		return
	}
	c.admin = next
	if at := next.Addr(); at != "" {
		c.log.Info("admin listening", "address", at)
	}
	if old != nil {
		go c.closeAdmin(old)
	}
}

func (c *Control) closeAdmin(s *admin.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), adminGrace)
	defer cancel()
	if err := s.Close(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		c.log.Warn("admin", "error", err)
	}
}

// AdminAddr returns where the administrative side listens in fact, "" when it is off.
func (c *Control) AdminAddr() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.admin == nil {
		return ""
	}
	return c.admin.Addr()
}

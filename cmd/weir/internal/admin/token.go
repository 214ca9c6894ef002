package admin

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
)

// maxToken is the most bytes of a token file.
const maxToken = 4096

// tokenStore holds the token of a file. When the file changes the new token counts from the next request on; a file that is gone
// or holds no token any more leaves the old one in force, so that a failed rotation neither locks out nor lets in.
type tokenStore struct {
	mu   sync.Mutex
	path string // "" = no token is asked for
	info fs.FileInfo
	hash [sha256.Size]byte
}

// use reads the token of another file; on an error all stays as it was.
func (t *tokenStore) use(path string) error {
	var hash [sha256.Size]byte
	var info fs.FileInfo
	if path != "" {
		token, at, err := readToken(path)
		if err != nil {
			return err
		}
		hash, info = sha256.Sum256(token), at
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.path, t.info, t.hash = path, info, hash
	return nil
}

// required reports whether requests have to carry a token.
func (t *tokenStore) required() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.path != ""
}

// allows reports whether the token is the right one, in a time that doesn't depend on what is wrong with it. The error says why a
// changed file was not taken.
func (t *tokenStore) allows(token string) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.path == "" {
		return true, nil
	}
	err := t.refresh()
	given := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(given[:], t.hash[:]) == 1, err
}

// refresh reads the file again if it has changed. The error is reported once for each state of the file.
func (t *tokenStore) refresh() error {
	info, err := os.Stat(t.path)
	if err != nil {
		known := t.info == nil
		t.info = nil
		if known {
			return nil
		}
		return fmt.Errorf("token file: %w", err)
	}
	if t.info != nil && os.SameFile(info, t.info) && info.ModTime().Equal(t.info.ModTime()) && info.Size() == t.info.Size() {
		return nil
	}
	token, at, err := readToken(t.path)
	if err != nil {
		t.info = info
		return err
	}
	t.info, t.hash = at, sha256.Sum256(token)
	return nil
}

// readToken reads a file whose content, less the space around it, is a token: visible ASCII, 1 to 4,096 bytes.
func readToken(path string) ([]byte, fs.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("token file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("token file: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return nil, nil, fmt.Errorf("token file %s: %w", path, err)
	}
	if err := checkToken(bytes.TrimSpace(text), len(text)); err != nil {
		return nil, nil, fmt.Errorf("token file %s: %w", path, err)
	}
	return bytes.TrimSpace(text), info, nil
}

func checkToken(token []byte, size int) error {
	if size > maxToken {
		return fmt.Errorf("longer than %d bytes", maxToken)
	}
	if len(token) == 0 {
		return errors.New("empty: write a long random token to it")
	}
	for _, b := range token {
		if b <= ' ' || b > '~' {
			return errors.New("a token is one word of visible ASCII characters")
		}
	}
	return nil
}

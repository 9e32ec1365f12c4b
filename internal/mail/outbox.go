package mail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/weirhq/weir/internal/random"
)

// OutboxFrom is who the mail in an outbox is from where nothing else is said.
const OutboxFrom = "Weir <weir@localhost>"

// Outbox writes each message into a file that mail programs open, for
// installations without a mail server.
type Outbox struct {
	sender
	dir string
	log *slog.Logger
}

// NewOutbox makes the directory, which its owner alone can read, as the links
// in the messages are secrets. From is an address as in NewSMTP, or "" for
// OutboxFrom. Each message's file is logged.
func NewOutbox(dir, from string, log *slog.Logger) (*Outbox, error) {
	if from == "" {
		from = OutboxFrom
	}
	s, err := parseFrom(from)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("mail: make the outbox: %w", err)
	}
	// It may have been there with other permissions.
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // who owns a directory must be able to enter it
		return nil, fmt.Errorf("mail: close the outbox to others: %w", err)
	}
	return &Outbox{sender: s, dir: dir, log: log}, nil
}

// Send writes the message to "<time>-<random>.eml", the time in UTC so that
// names sort by it. The name appears once the file is whole and durable.
func (o *Outbox) Send(ctx context.Context, m Message) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("mail: write to the outbox: %w", err)
	}
	msg, err := o.compose(m)
	if err != nil {
		return err
	}
	path := filepath.Join(o.dir, time.Now().UTC().Format("20060102T150405.000000Z")+"-"+random.Text(8, random.LowerAlphanumeric)+".eml")
	if err := writeFile(path, msg); err != nil {
		return fmt.Errorf("mail: write to the outbox: %w", err)
	}
	o.log.InfoContext(ctx, "no SMTP server is configured (--smtp-url): mail was written to a file", "file", path)
	return nil
}

func writeFile(path string, msg *gomail.Msg) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".unfinished-*") // readable by the owner alone
	if err != nil {
		return err
	}
	_, err = msg.WriteTo(f)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

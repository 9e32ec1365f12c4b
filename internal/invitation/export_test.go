package invitation

import "github.com/weirhq/weir/internal/authn"

// Batch is how many invitations are read at once.
const Batch = batch

// HashWith replaces the hash of passwords, which is slow on purpose.
func (h *Handler) HashWith(hash func(string) (string, error)) {
	h.passwords = authn.NewPasswords(hash)
}

// Woken reports whether a Wake is waiting for Run.
func (c *Courier) Woken() bool { return len(c.wake) > 0 }

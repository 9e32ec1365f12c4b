package invitation

// HashesAtOnce is how many passwords are hashed at a time.
const HashesAtOnce = hashesAtOnce

// Batch is how many invitations are read at once.
const Batch = batch

// HashWith replaces the hash of passwords, which is slow on purpose.
func (h *Handler) HashWith(hash func(string) (string, error)) { h.hash = hash }

// Woken reports whether a Wake is waiting for Run.
func (c *Courier) Woken() bool { return len(c.wake) > 0 }

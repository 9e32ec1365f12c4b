package signin

// NobodysHash replaces the hash that the passwords of accounts which do not
// exist are compared with, which is slow on purpose.
func (s *Service) NobodysHash(hash string) { s.nobody = hash }

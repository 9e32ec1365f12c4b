package random_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/random"
)

func TestTextHasTheLengthAndOnlyTheAlphabet(t *testing.T) {
	t.Parallel()
	alphabets := map[string]string{
		"lower": random.LowerAlphanumeric, "upper": random.UpperAlphanumeric, "mixed": random.MixedAlphanumeric,
		"one character": "x", "two": "01", "a hundred": everyByte(100), "all 256": everyByte(256),
	}
	for name, alphabet := range alphabets {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, n := range []int{0, 1, 2, 16, 63, 64, 1000} {
				text := random.Text(n, alphabet)
				if len(text) != n {
					t.Fatalf("Text(%d) has %d characters", n, len(text))
				}
				for i := range len(text) {
					if strings.IndexByte(alphabet, text[i]) < 0 {
						t.Fatalf("Text(%d) holds %q, which is not in the alphabet", n, text[i])
					}
				}
			}
		})
	}
}

func everyByte(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}

func TestAlphabetsHaveNoCharacterTwice(t *testing.T) {
	t.Parallel()
	for alphabet, want := range map[string]int{
		random.LowerAlphanumeric: 36, random.UpperAlphanumeric: 36, random.MixedAlphanumeric: 62,
	} {
		seen := map[rune]bool{}
		for _, c := range alphabet {
			seen[c] = true
		}
		if len(seen) != want || len(alphabet) != want {
			t.Errorf("%q has %d characters, %d of them different; want %d", alphabet, len(alphabet), len(seen), want)
		}
	}
}

// The statistic is that of Pearson's chi-square test. For a fair source it is
// about the degrees of freedom d, with a standard deviation of sqrt(2d): the
// bound of 4d is over ten deviations away for every alphabet here and is not
// reached by chance. Plain remainders of bytes would give about 0.002 for each
// character drawn from 36, 800 here, where the bound is 140.
func TestTextFavoursNoCharacter(t *testing.T) {
	t.Parallel()
	const n = 400_000
	for _, alphabet := range []string{random.LowerAlphanumeric, random.MixedAlphanumeric, everyByte(64), everyByte(200)} {
		counts := [256]int{}
		for _, b := range []byte(random.Text(n, alphabet)) {
			counts[b]++
		}
		expected := float64(n) / float64(len(alphabet))
		statistic := 0.0
		for _, c := range []byte(alphabet) {
			d := float64(counts[c]) - expected
			statistic += d * d / expected
		}
		if bound := 4 * float64(len(alphabet)-1); statistic > bound {
			t.Errorf("alphabet of %d: chi-square is %.0f, above %.0f", len(alphabet), statistic, bound)
		}
	}
}

func TestTextIsNeverTheSameTwice(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 10_000 {
		text := random.Text(16, random.UpperAlphanumeric)
		if seen[text] {
			t.Fatalf("%q came twice", text)
		}
		seen[text] = true
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		s := random.Secret()
		if b, err := base64.RawURLEncoding.DecodeString(s); err != nil || len(b) != 32 || len(s) != random.SecretLength || seen[s] {
			t.Fatalf("the secret %q is no 32 bytes in Base64, or was seen before: %v", s, err)
		}
		seen[s] = true
	}
}

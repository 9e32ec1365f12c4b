# An invitation. Another address makes another invitation: -var email=...

variable "email" {
  default = "Marty.McFly@example.com"
}

resource "confluent_invitation" "guest" {
  email          = var.email
  allow_deletion = true
}

data "confluent_invitation" "by_id" {
  id = confluent_invitation.guest.id
}

# The status is left out: it changes by itself when the mail goes out, and an
# output of it would show that as something to apply.
output "guest" {
  value = { for name, value in confluent_invitation.guest : name => value if name != "status" }
}

output "by_id" {
  value = { for name, value in data.confluent_invitation.by_id : name => value if name != "status" }
}

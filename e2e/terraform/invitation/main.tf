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

output "guest" {
  value = confluent_invitation.guest
}

output "by_id" {
  value = data.confluent_invitation.by_id
}

# Terraform that holds no key of Weir: it takes a token from the identity
# provider, and exchanges it.

variable "name" {
  default = "made by a pool"
}

resource "confluent_service_account" "made" {
  display_name = var.name
}

output "made" {
  value = confluent_service_account.made.id
}

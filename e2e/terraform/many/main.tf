# Many service accounts, for -parallelism=50.

variable "accounts" {
  default = 40
}

variable "description" {
  default = "One of many"
}

resource "confluent_service_account" "many" {
  count        = var.accounts
  display_name = "account-${count.index}"
  description  = var.description
}

output "ids" {
  value = confluent_service_account.many[*].id
}

output "descriptions" {
  value = distinct(confluent_service_account.many[*].description)
}

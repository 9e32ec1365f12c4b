# A service account with a description, one without, and the data sources that
# find them.

variable "name" {
  default = "orders"
}

variable "description" {
  default = "Writes orders from the shop"
}

resource "confluent_service_account" "described" {
  display_name = var.name
  description  = var.description
}

resource "confluent_service_account" "plain" {
  display_name = "Plain-${var.name} of the shop"
}

data "confluent_service_account" "by_id" {
  id         = confluent_service_account.described.id
  depends_on = [confluent_service_account.described]
}

data "confluent_service_account" "by_name" {
  display_name = confluent_service_account.described.display_name
  depends_on   = [confluent_service_account.described]
}

# The provider sends each word as a value of its own.
data "confluent_service_account" "by_words" {
  display_name = confluent_service_account.plain.display_name
  depends_on   = [confluent_service_account.plain]
}

output "described" {
  value = confluent_service_account.described
}

output "plain" {
  value = confluent_service_account.plain
}

output "by_id" {
  value = data.confluent_service_account.by_id
}

output "by_words" {
  value = data.confluent_service_account.by_words
}

output "by_name" {
  value = data.confluent_service_account.by_name
}

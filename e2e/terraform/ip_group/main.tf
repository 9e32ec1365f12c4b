# An IP group. Blocks are kept as they are written, bits beyond the mask included.

variable "name" {
  default = "Office [EU]"
}

variable "blocks" {
  type    = set(string)
  default = ["192.0.2.7/24", "198.51.100.0/28"]
}

resource "confluent_ip_group" "office" {
  group_name  = var.name
  cidr_blocks = var.blocks
}

data "confluent_ip_group" "by_id" {
  id         = confluent_ip_group.office.id
  depends_on = [confluent_ip_group.office]
}

# The group that has no network, which every organization has.
data "confluent_ip_group" "none" {
  id = "ipg-none"
}

output "office" {
  value = confluent_ip_group.office
}

output "by_id" {
  value = data.confluent_ip_group.by_id
}

output "none" {
  value = data.confluent_ip_group.none
}

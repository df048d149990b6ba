CREATE TABLE islands (net TEXT, poet TEXT, funds INTEGER, wood TEXT);
INSERT INTO islands VALUES
('Juvin', 'Bagis', 133, 'Wanski'),
('Dirum', 'Bagis', 750, 'Voger'),
('Yiken', 'Vizoff', 926, 'Morov'),
('Nemen', 'Wumak', 513, 'Morov'),
('Hevel', 'Bagis', 59, 'Kovoff'),
('Jipak', 'Wumak', 32, 'Hemin'),
('Fezer', 'Vizoff', 288, 'Hemin'),
('Tegel', 'Nakel', 933, 'Wafen'),
('Difis', 'Bagis', 981, 'Voger'),
('Luris', 'Vizoff', 66, 'Kovoff');

CREATE TABLE cows (wood TEXT, growth INTEGER, cabin TEXT);
INSERT INTO cows VALUES
('Hemin', 34, 'Danin'),
('Kovoff', 863, 'Zaper'),
('Morov', 743, 'Zaper'),
('Voger', 148, 'Danin'),
('Wanski', 288, 'Mupic'),
('Wafen', 289, 'Danin');

CREATE TABLE stoves (tool TEXT, places INTEGER, finish TEXT, tycoon TEXT);
INSERT INTO stoves VALUES
('Gipen', 717, 'Vavoff', 'Paton'),
('Lisic', 87, 'Puzov', 'Kikum'),
('Bimak', 642, 'Vavoff', 'Zevov'),
('Vafer', 437, 'Zamel', 'Runov'),
('Wefic', 811, 'Vavoff', 'Kikum'),
('Zukin', 760, 'Yokak', 'Negak'),
('Yaric', 65, 'Yokak', 'Runov'),
('Fofum', 257, 'Yokak', 'Zevov'),
('Rekak', 719, 'Zamel', 'Fiben'),
('Kifum', 421, 'Vavoff', 'Negak');

CREATE TABLE keepers (tycoon TEXT, accent TEXT, visits INTEGER);
INSERT INTO keepers VALUES
('Zevov', 'Tukum', 959),
('Negak', 'Rurak', 940),
('Runov', 'Jadoff', 604),
('Kikum', 'Rurak', 261),
('Fiben', 'Rurak', 353),
('Paton', 'Tukum', 688);

CREATE TABLE owls (pattern TEXT, lumens INTEGER, aroma TEXT, type TEXT);
INSERT INTO owls VALUES
('Vitic', 329, 'Jibski', 'Nikon'),
('Suroff', 918, 'Sidis', 'Fogoff'),
('Bulum', 525, 'Sidis', 'Zegin'),
('Dodel', 10, 'Hikis', 'Fogoff'),
('Nisum', 687, 'Mesov', 'Nisak'),
('Firoff', 257, 'Sidis', 'Bakoff'),
('Defis', 730, 'Mesov', 'Wamel'),
('Jokoff', 191, 'Sidis', 'Zegin'),
('Wekoff', 216, 'Hikis', 'Nisak'),
('Kugak', 811, 'Hikis', 'Wamel');

CREATE TABLE comics (type TEXT, father TEXT, images INTEGER);
INSERT INTO comics VALUES
('Nisak', 'Kotic', 864),
('Fogoff', 'Muzel', 878),
('Zegin', 'Muzel', 76),
('Wamel', 'Lader', 699),
('Nikon', 'Kotic', 528),
('Bakoff', 'Muzel', 355);

CREATE TABLE nurses (maid TEXT, plugs INTEGER, heir TEXT, soil TEXT);
INSERT INTO nurses VALUES
('Molski', 760, 'Level', 'Sitin'),
('Tonon', 281, 'Jezis', 'Yinon'),
('Wovic', 347, 'Hesski', 'Jizski'),
('Kagis', 282, 'Zozov', 'Yinon'),
('Zason', 435, 'Hesski', 'Wilis'),
('Gasis', 625, 'Zozov', 'Togov'),
('Wevak', 360, 'Zozov', 'Sitin'),
('Daper', 28, 'Zozov', 'Bupak'),
('Mepon', 184, 'Hesski', 'Togov'),
('Bupis', 819, 'Level', 'Jizski');

CREATE TABLE barns (soil TEXT, fish TEXT, cost INTEGER);
INSERT INTO barns VALUES
('Yinon', 'Bekov', 756),
('Togov', 'Tezum', 541),
('Sitin', 'Tezum', 254),
('Jizski', 'Bivak', 215),
('Wilis', 'Bekov', 353),
('Bupak', 'Tezum', 649);

CREATE TABLE drawers (origin TEXT, stairs INTEGER, castle TEXT, vessel TEXT);
INSERT INTO drawers VALUES
('Zifon', 217, 'Hulen', 'Delum'),
('Jogon', 623, 'Robak', 'Delum'),
('Zipic', 161, 'Lokis', 'Jidak'),
('Jobon', 403, 'Haser', 'Woren'),
('Tazski', 432, 'Hulen', 'Jidak'),
('Wunen', 152, 'Hulen', 'Juder'),
('Teben', 347, 'Haser', 'Fosov'),
('Zukum', 565, 'Lokis', 'Juder'),
('Metski', 663, 'Haser', 'Woren'),
('Kovel', 56, 'Hulen', 'Mulic');

CREATE TABLE alleys (vessel TEXT, tract TEXT, tabs INTEGER);
INSERT INTO alleys VALUES
('Juder', 'Jogov', 133),
('Jidak', 'Sevel', 99),
('Delum', 'Jogov', 583),
('Woren', 'Sevel', 231),
('Fosov', 'Jogov', 144),
('Mulic', 'Yugski', 877);

CREATE TABLE engines (rock TEXT, loans INTEGER, world TEXT, source TEXT);
INSERT INTO engines VALUES
('Sorer', 687, 'Susic', 'Yemis'),
('Jagon', 889, 'Rigis', 'Budel'),
('Wugon', 151, 'Susic', 'Debak'),
('Diris', 214, 'Rigis', 'Bazov'),
('Wazer', 563, 'Dogic', 'Budel'),
('Sogum', 854, 'Dogic', 'Wemis'),
('Watin', 289, 'Susic', 'Yemis'),
('Japon', 70, 'Rigis', 'Jader'),
('Gopski', 386, 'Denis', 'Wemis'),
('Hiris', 441, 'Susic', 'Jader');

CREATE TABLE groves (source TEXT, lake TEXT, dogs INTEGER);
INSERT INTO groves VALUES
('Budel', 'Migski', 77),
('Jader', 'Dapic', 47),
('Yemis', 'Dapic', 712),
('Wemis', 'Fefoff', 973),
('Bazov', 'Migski', 197),
('Debak', 'Dapic', 666);

CREATE TABLE tubes (look TEXT, shade TEXT, lives INTEGER, fruit TEXT);
INSERT INTO tubes VALUES
('Bozoff', 'Yovum', 961, 'Leder'),
('Raber', 'Given', 470, 'Leder'),
('Nimic', 'Yovum', 708, 'Mobov'),
('Natum', 'Given', 667, 'Gimer'),
('Karoff', 'Yovum', 60, 'Lorel'),
('Segel', 'Nuzen', 439, 'Nupic'),
('Lipic', 'Nuzen', 658, 'Mobov'),
('Nivel', 'Given', 282, 'Vatin'),
('Nofak', 'Fezski', 327, 'Gimer'),
('Nogov', 'Given', 246, 'Lorel');

CREATE TABLE jets (fruit TEXT, museum TEXT, cubes INTEGER);
INSERT INTO jets VALUES
('Mobov', 'Satum', 839),
('Leder', 'Horen', 311),
('Gimer', 'Tumon', 523),
('Lorel', 'Tumon', 903),
('Vatin', 'Satum', 556),
('Nupic', 'Satum', 766);

CREATE TABLE routes (council TEXT, shares INTEGER, solo TEXT, player TEXT);
INSERT INTO routes VALUES
('Bedov', 264, 'Jalel', 'Daric'),
('Pemski', 209, 'Jalel', 'Lanis'),
('Fiden', 641, 'Putis', 'Gapin'),
('Yiker', 483, 'Mudel', 'Finen'),
('Lolis', 847, 'Denak', 'Rodis'),
('Nupin', 986, 'Mudel', 'Fikov'),
('Kefel', 952, 'Denak', 'Rodis'),
('Nevski', 597, 'Denak', 'Daric'),
('Zidin', 162, 'Jalel', 'Finen'),
('Gusum', 416, 'Denak', 'Fikov');

CREATE TABLE caves (player TEXT, noise INTEGER, oracle TEXT);
INSERT INTO caves VALUES
('Rodis', 767, 'Bagel'),
('Finen', 597, 'Menski'),
('Fikov', 384, 'Dudic'),
('Daric', 387, 'Menski'),
('Gapin', 603, 'Dudic'),
('Lanis', 956, 'Menski');

CREATE TABLE ruins (honor TEXT, offer TEXT, rides INTEGER, painter TEXT);
INSERT INTO ruins VALUES
('Riser', 'Nenon', 82, 'Rasum'),
('Kadov', 'Yudin', 42, 'Jufin'),
('Fenel', 'Pegin', 123, 'Yokum'),
('Yoloff', 'Fumis', 467, 'Visum'),
('Tater', 'Fumis', 889, 'Yokum'),
('Reber', 'Yudin', 684, 'Jodel'),
('Kilin', 'Yudin', 320, 'Jufin'),
('Dosak', 'Pegin', 853, 'Suzin'),
('Kikis', 'Yudin', 225, 'Suzin'),
('Sifel', 'Fumis', 697, 'Rasum');

CREATE TABLE pigs (painter TEXT, pastor TEXT, growth INTEGER);
INSERT INTO pigs VALUES
('Yokum', 'Pasin', 664),
('Suzin', 'Jomski', 229),
('Rasum', 'Mepin', 320),
('Jufin', 'Pasin', 933),
('Jodel', 'Mepin', 678),
('Visum', 'Mepin', 413);

CREATE TABLE beacons (troop TEXT, chests INTEGER, guild TEXT, flower TEXT);
INSERT INTO beacons VALUES
('Moser', 852, 'Tosel', 'Zedoff'),
('Guson', 296, 'Revon', 'Zedoff'),
('Taser', 957, 'Revon', 'Vitski'),
('Morum', 823, 'Sudis', 'Vitski'),
('Pegel', 185, 'Hapic', 'Dupski'),
('Pesis', 133, 'Hapic', 'Dupski'),
('Topak', 556, 'Sudis', 'Munic'),
('Jazov', 892, 'Sudis', 'Munic'),
('Meroff', 832, 'Sudis', 'Kuver'),
('Gumov', 110, 'Revon', 'Wekov');

CREATE TABLE robes (flower TEXT, gears INTEGER, metal TEXT);
INSERT INTO robes VALUES
('Munic', 909, 'Gatoff'),
('Zedoff', 360, 'Fodel'),
('Dupski', 93, 'Fodel'),
('Vitski', 663, 'Gatoff'),
('Kuver', 735, 'Hobel'),
('Wekov', 296, 'Fodel');

CREATE TABLE goats (planner TEXT, kingdom TEXT, sides INTEGER, tract TEXT);
INSERT INTO goats VALUES
('Riser', 'Bumin', 839, 'Pepum'),
('Fulen', 'Vugon', 139, 'Wekoff'),
('Kumic', 'Vugon', 907, 'Manum'),
('Hasin', 'Hufoff', 335, 'Manum'),
('Zurer', 'Bumin', 39, 'Pipel'),
('Kamski', 'Bizoff', 364, 'Yupis'),
('Wefic', 'Bizoff', 914, 'Pepum'),
('Higis', 'Bizoff', 932, 'Yupis'),
('Gimoff', 'Bizoff', 377, 'Wekoff'),
('Mezski', 'Vugon', 432, 'Kakon');

CREATE TABLE arrows (tract TEXT, source TEXT, income INTEGER);
INSERT INTO arrows VALUES
('Wekoff', 'Sogoff', 664),
('Pepum', 'Sogoff', 847),
('Yupis', 'Liton', 697),
('Manum', 'Sogoff', 177),
('Kakon', 'Liton', 580),
('Pipel', 'Daven', 940);

CREATE TABLE dramas (story TEXT, irons INTEGER, rule TEXT, home TEXT);
INSERT INTO dramas VALUES
('Lifen', 56, 'Wurski', 'Havic'),
('Ratak', 218, 'Repak', 'Setis'),
('Vupic', 997, 'Repak', 'Rusel'),
('Ripon', 144, 'Wurski', 'Bumum'),
('Fobov', 445, 'Repak', 'Hopel'),
('Sofski', 608, 'Repak', 'Setis'),
('Gotic', 327, 'Honak', 'Bumum'),
('Kenel', 467, 'Suzic', 'Yanen'),
('Veboff', 488, 'Suzic', 'Hopel'),
('Yozin', 836, 'Suzic', 'Havic');

CREATE TABLE oboes (home TEXT, keeper TEXT, length INTEGER);
INSERT INTO oboes VALUES
('Havic', 'Masski', 781),
('Bumum', 'Masski', 392),
('Hopel', 'Masski', 670),
('Setis', 'Miser', 320),
('Rusel', 'Miser', 980),
('Yanen', 'Worski', 726);

CREATE TABLE apps (cloth TEXT, tenor TEXT, cups INTEGER, aroma TEXT);
INSERT INTO apps VALUES
('Kutum', 'Pobak', 385, 'Yiboff'),
('Butel', 'Pobak', 473, 'Noter'),
('Yoten', 'Nagin', 700, 'Lofak'),
('Maler', 'Fugic', 838, 'Jokski'),
('Jobum', 'Borin', 855, 'Noter'),
('Veger', 'Pobak', 821, 'Lolic'),
('Mulic', 'Fugic', 202, 'Lofak'),
('Muton', 'Nagin', 984, 'Jemoff'),
('Batoff', 'Pobak', 279, 'Jemoff'),
('Liper', 'Nagin', 311, 'Yiboff');

CREATE TABLE unions (aroma TEXT, income INTEGER, timber TEXT);
INSERT INTO unions VALUES
('Noter', 101, 'Solen'),
('Jemoff', 538, 'Zogis'),
('Lofak', 674, 'Hunon'),
('Yiboff', 819, 'Zogis'),
('Lolic', 656, 'Hunon'),
('Jokski', 675, 'Hunon');

CREATE TABLE members (cabin TEXT, fish TEXT, refunds INTEGER, youth TEXT);
INSERT INTO members VALUES
('Hilon', 'Monoff', 299, 'Mabov'),
('Dasin', 'Wivak', 735, 'Lumen'),
('Sosel', 'Yafski', 308, 'Lumen'),
('Sorer', 'Yafski', 465, 'Russki'),
('Vupic', 'Guroff', 810, 'Russki'),
('Kimin', 'Yafski', 965, 'Mabov'),
('Susic', 'Guroff', 896, 'Dasski'),
('Lugski', 'Wivak', 435, 'Ginin'),
('Zaper', 'Guroff', 604, 'Ginin'),
('Mugak', 'Guroff', 255, 'Bunov');

CREATE TABLE boxers (youth TEXT, rolls INTEGER, castle TEXT);
INSERT INTO boxers VALUES
('Russki', 940, 'Jizum'),
('Mabov', 407, 'Zumon'),
('Ginin', 816, 'Hodoff'),
('Lumen', 355, 'Jizum'),
('Dasski', 502, 'Jizum'),
('Bunov', 362, 'Hodoff');

CREATE TABLE shows (fuel TEXT, league TEXT, spaces INTEGER, tool TEXT);
INSERT INTO shows VALUES
('Hupoff', 'Wimon', 847, 'Vizoff'),
('Vapak', 'Wimon', 828, 'Pamen'),
('Kific', 'Wimon', 242, 'Bapoff'),
('Wepel', 'Pimel', 230, 'Vizoff'),
('Lonin', 'Fimum', 935, 'Wupis'),
('Kadski', 'Pimel', 599, 'Wodov'),
('Hubic', 'Wimon', 236, 'Wupis'),
('Ligon', 'Fimum', 996, 'Mofov'),
('Daboff', 'Pimel', 608, 'Pamen'),
('Jovak', 'Zepin', 918, 'Bapoff');

CREATE TABLE pearls (tool TEXT, soil TEXT, tips INTEGER);
INSERT INTO pearls VALUES
('Vizoff', 'Zikski', 533),
('Pamen', 'Tiren', 311),
('Wupis', 'Tiren', 252),
('Bapoff', 'Zikski', 581),
('Wodov', 'Zikski', 830),
('Mofov', 'Wugel', 749);

CREATE TABLE workers (coroner TEXT, color TEXT, faces INTEGER, hero TEXT);
INSERT INTO workers VALUES
('Sebic', 'Sisin', 675, 'Gorer'),
('Puzov', 'Besak', 536, 'Fesin'),
('Veboff', 'Sisin', 218, 'Fesin'),
('Humis', 'Besak', 743, 'Vizak'),
('Fidic', 'Resov', 187, 'Gorer'),
('Lizel', 'Resov', 849, 'Vizak'),
('Sodoff', 'Besak', 152, 'Luvum'),
('Nolic', 'Resov', 483, 'Luvum'),
('Gugoff', 'Besak', 252, 'Womel'),
('Wigis', 'Duzer', 329, 'Yirski');

CREATE TABLE toys (hero TEXT, story TEXT, yield INTEGER);
INSERT INTO toys VALUES
('Luvum', 'Yegoff', 182),
('Fesin', 'Kabic', 353),
('Vizak', 'Bemoff', 362),
('Gorer', 'Kabic', 109),
('Yirski', 'Yegoff', 597),
('Womel', 'Yegoff', 262);

CREATE TABLE dams (drummer TEXT, trust TEXT, loans INTEGER, quarter TEXT);
INSERT INTO dams VALUES
('Yolic', 'Habak', 714, 'Gabon'),
('Hinum', 'Litis', 706, 'Juroff'),
('Niren', 'Habak', 806, 'Nizen'),
('Bobin', 'Habak', 78, 'Tolel'),
('Fibis', 'Lakic', 680, 'Dadon'),
('Nulov', 'Fazis', 626, 'Dadon'),
('Matel', 'Fazis', 488, 'Wobak'),
('Mepak', 'Habak', 327, 'Gabon'),
('Sedski', 'Lakic', 507, 'Juroff'),
('Turis', 'Fazis', 16, 'Tolel');

CREATE TABLE lockers (quarter TEXT, credit INTEGER, walker TEXT);
INSERT INTO lockers VALUES
('Juroff', 549, 'Wizic'),
('Tolel', 173, 'Fiter'),
('Gabon', 319, 'Fiter'),
('Dadon', 934, 'Wizic'),
('Nizen', 261, 'Wizic'),
('Wobak', 666, 'Fesic');

CREATE TABLE hotels (bank TEXT, fan TEXT, hours INTEGER, rival TEXT);
INSERT INTO hotels VALUES
('Zoker', 'Juzov', 76, 'Matum'),
('Ripon', 'Juzov', 998, 'Hapis'),
('Dudon', 'Potov', 377, 'Wogin'),
('Bamon', 'Lofski', 23, 'Matum'),
('Luvak', 'Juzov', 781, 'Vuven'),
('Kaloff', 'Gilon', 771, 'Hapis'),
('Saboff', 'Lofski', 910, 'Bugel'),
('Pezel', 'Potov', 541, 'Wogin'),
('Pakov', 'Potov', 822, 'Hozski'),
('Niser', 'Juzov', 656, 'Hozski');

CREATE TABLE elves (rival TEXT, holes INTEGER, painter TEXT);
INSERT INTO elves VALUES
('Matum', 364, 'Nunoff'),
('Hapis', 990, 'Gokak'),
('Wogin', 456, 'Higen'),
('Hozski', 245, 'Gokak'),
('Bugel', 552, 'Higen'),
('Vuven', 179, 'Gokak');

CREATE TABLE huts (colony TEXT, doctor TEXT, dives INTEGER, regent TEXT);
INSERT INTO huts VALUES
('Ganak', 'Muloff', 441, 'Juber'),
('Tuter', 'Muloff', 939, 'Wuler'),
('Jezer', 'Muloff', 992, 'Juber'),
('Neten', 'Dumer', 671, 'Pofis'),
('Pomis', 'Bupoff', 404, 'Fetum'),
('Magel', 'Bupoff', 822, 'Fetum'),
('Suven', 'Dumer', 59, 'Wuler'),
('Fapen', 'Bopic', 13, 'Latov'),
('Teper', 'Bupoff', 838, 'Bezov'),
('Ranic', 'Muloff', 737, 'Bezov');

CREATE TABLE flags (regent TEXT, plate TEXT, spins INTEGER);
INSERT INTO flags VALUES
('Bezov', 'Wifski', 257),
('Fetum', 'Wezak', 988),
('Wuler', 'Kugov', 849),
('Juber', 'Wifski', 278),
('Latov', 'Wezak', 421),
('Pofis', 'Wifski', 469);

CREATE TABLE saunas (marshal TEXT, bride TEXT, suits INTEGER, vault TEXT);
INSERT INTO saunas VALUES
('Vagum', 'Woris', 320, 'Gupin'),
('Vidum', 'Narel', 586, 'Danin'),
('Dipum', 'Pedak', 388, 'Bader'),
('Setski', 'Narel', 28, 'Yasen'),
('Zifski', 'Pedak', 477, 'Danin'),
('Digski', 'Woris', 463, 'Bukum'),
('Tuzen', 'Narel', 782, 'Zover'),
('Forum', 'Woris', 885, 'Gupin'),
('Gipov', 'Miden', 454, 'Bukum'),
('Fazis', 'Narel', 669, 'Yasen');

CREATE TABLE divers (vault TEXT, mode TEXT, replies INTEGER);
INSERT INTO divers VALUES
('Gupin', 'Wuzen', 296),
('Bukum', 'Hugin', 39),
('Yasen', 'Romen', 982),
('Danin', 'Romen', 995),
('Zover', 'Romen', 29),
('Bader', 'Wuzen', 749);
